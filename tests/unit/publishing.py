"""A publisher without brokers: its producer keeps what would be committed."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import structlog

from cdc_sidecar.config.model import Publish
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.claim import InternalTopics
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue, Handover
from cdc_sidecar.runtime.publisher import PositionedProducer, Publisher, Publishing
from cdc_sidecar.runtime.status import Status
from cdc_sidecar.runtime.status_board import StatusBoard
from cdc_sidecar.runtime.telemetry import Telemetry


class Producer:
    """A stand-in for our producer: keeps what would be committed; `taken` receives each record."""

    def __init__(self) -> None:
        self.taken: Callable[[Record], None] = lambda _record: None
        self.committing: Callable[[], None] = lambda: None
        self.began: list[float] = []
        self.ended: list[float] = []
        self.open: list[Any] = []
        self.commits: list[list[Any]] = []
        self.aborts = 0
        self.dropped = False

    def begin(self) -> None:
        """Begin."""
        self.began.append(time.monotonic())
        self.open = []

    def produce(
        self, records: Iterable[Record], _waiting: Callable[[float], None] = lambda _seconds: None
    ) -> None:
        """Take records."""
        for record in records:
            self.open.append(record)
            self.taken(record)

    def commit(self, _waiting: Callable[[float], None] = lambda _seconds: None) -> bool:
        """Commit."""
        self.committing()
        self.ended.append(time.monotonic())
        self.commits.append(self.open)
        return True

    def abort(self) -> bool:
        """Abort."""
        self.aborts += 1
        return True

    def drop(self) -> None:
        """Note that the producer was given up."""
        self.dropped = True


class Recovery:
    """Stands in for the session's recovery: nobody may be fenced."""

    def __init__(self, brokers_answer: Callable[[], bool]) -> None:
        self.brokers_answer = brokers_answer

    def reclaim(self, _published: Lsn | None) -> PositionedProducer:
        """Fail the test."""
        pytest.fail("nobody may be fenced")


def publisher(
    producer: Producer,
    queue: BatchQueue,
    config: Publish,
    *,
    brokers_answer: Callable[[], bool] = lambda: True,
    fail: Callable[[SidecarError], None] = lambda error: pytest.fail(str(error)),
    serve_schema: Callable[[bytes, bytes], None] = lambda _key, _value: None,
) -> Publisher:
    """Return a publisher at LSN 100, on a queue of the test's."""
    identity = SourceIdentity("1", 1, "db", 5, "slot", "publication")
    record = PositionRecord(identity, Position(Lsn(100)), 0, "f", "test", 0)
    board = StatusBoard(Status("s", "slot", "id", "0", 0.0))
    return Publisher(
        PositionedProducer(producer, record),
        Recovery(brokers_answer),
        Publishing(config, "f", InternalTopics("position", "schemas", b"id"), serve_schema),
        Handover(queue, Acknowledgement(Lsn(100))),
        board.backlog,
        Telemetry(board, Metrics(), structlog.get_logger()),
        fail,
    )

"""A publisher without brokers: its producer keeps what would be committed."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from cdc_sidecar.config.model import Publish
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.claim import Claim, InternalTopics
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from cdc_sidecar.runtime.publisher import Publisher
from cdc_sidecar.runtime.state import State, StateBoard


class Producer:
    """Stands in for our producer: keeps what would be committed; `taken` hears of each record."""

    def __init__(self) -> None:
        self.taken: Callable[[Record], None] = lambda _record: None
        self.began: list[float] = []
        self.ended: list[float] = []
        self.open: list[Any] = []
        self.commits: list[list[Any]] = []
        self.aborts = 0

    def begin(self) -> None:
        """Begin."""
        self.began.append(time.monotonic())
        self.open = []

    def produce(self, records: Any, _waiting: object = None) -> None:  # noqa: ANN401 - any records
        """Take records."""
        for record in records:
            self.open.append(record)
            self.taken(record)

    def commit(self, _waiting: object = None) -> bool:
        """Commit."""
        self.ended.append(time.monotonic())
        self.commits.append(self.open)
        return True

    def abort(self) -> bool:
        """Abort."""
        self.aborts += 1
        return True


def publisher(
    producer: Producer,
    queue: BatchQueue,
    config: Publish,
    *,
    brokers_answer: Callable[[], bool] = lambda: True,
    fail: Callable[[SidecarError], None] = lambda error: pytest.fail(str(error)),
) -> Publisher:
    """Return a publisher at LSN 100, on a queue of the test's."""
    identity = SourceIdentity("1", 1, "db", 5, "slot", "publication")
    record = PositionRecord(identity, Position(Lsn(100)), 0, "f", "test", 0)
    return Publisher(
        Claim(producer, record),  # type: ignore[arg-type] # a fake producer
        config=config,
        fingerprint="f",
        topics=InternalTopics("position", "schemas", b"id"),
        queue=queue,
        acknowledgement=Acknowledgement(Lsn(100)),
        reclaim=lambda: pytest.fail("nobody may be fenced"),
        brokers_answer=brokers_answer,
        load_schema=lambda _key, _value: None,
        fail=fail,
        board=StateBoard(State("s", "slot", "id", "0", 0.0)),
        metrics=Metrics(),
        log=structlog.get_logger(),
    )

"""A status that the connection could not send stays due, and acknowledges nothing."""

import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cdc_sidecar import failpoints
from cdc_sidecar.errors import FailpointHit, SidecarError
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from cdc_sidecar.runtime.replicator import Replicator
from tests.unit.shop import Shop


class Connection:
    """A connection on which nothing comes, and which sends a status only the last few times."""

    def __init__(self, *, refusals: int) -> None:
        self.last_received = time.monotonic()
        self.offered: list[Lsn] = []
        self._refusals = refusals

    def send_status(self, flushed: Lsn, *, reply_requested: bool) -> bool:
        """Note the status, and send it unless it is to be refused."""
        assert not reply_requested
        self.offered.append(flushed)
        return len(self.offered) > self._refusals

    def watch(self, _descriptor: int) -> None:
        """Watch nothing."""

    def drain(self, *_arguments: object) -> int:
        """Return that no message is there."""
        return 0

    def wait(self, _timeout: float) -> bool:
        """Return that nothing came."""
        return False

    def close(self) -> None:
        """Close nothing."""


class Silent:
    """A sentinel of a server that does not shut down."""

    def spoke(self) -> bool:
        """Return that the server said nothing."""
        return False


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_a_status_that_was_not_sent_is_offered_until_it_is_and_only_then_acknowledges() -> None:
    failpoints.arm("after_acknowledge=raise")
    connection, failures = Connection(refusals=3), list[SidecarError]()
    acknowledgement = Acknowledgement(Lsn(100))
    replicator = _replicator(connection, acknowledgement, failures)
    acknowledgement.publish(Lsn(200))
    replicator.run(threading.Event(), grace=1.0)
    acknowledgement.close()
    assert connection.offered == [Lsn(200)] * 4
    assert [type(failure) for failure in failures] == [FailpointHit]


def _replicator(
    connection: Connection, acknowledgement: Acknowledgement, failures: list[SidecarError]
) -> Replicator:
    replicator = Replicator(
        cast("Any", connection),
        BatchQueue(1000),
        acknowledgement,
        wal_sender_timeout=60.0,
        sentinel=cast("Any", Silent()),
        lookup=cast("Any", None),
        stopping=threading.Event(),
        fail=failures.append,
    )
    replicator.assembler = Shop().assembler
    return replicator

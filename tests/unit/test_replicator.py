"""A status that the connection could not send stays due, and acknowledges nothing."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from cdc_sidecar import failpoints
from cdc_sidecar.errors import FailpointHit, RecordTooLarge, SidecarError
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue, Handover
from cdc_sidecar.runtime.replicator import Replicator
from cdc_sidecar.runtime.upkeep import Upkeep
from tests.unit.shop import Shop
from tests.waiting import await_true


class Connection:
    """A connection that receives nothing and refuses to send the first few statuses."""

    def __init__(self, *, refusals: int) -> None:
        self.last_received = time.monotonic()
        self.closed = False
        self.offered: list[Lsn] = []
        self.refused_row: SidecarError | None = None
        self._refusals = refusals

    def send_status(self, flushed: Lsn, *, reply_requested: bool) -> bool:
        """Note the status, and send it unless it is to be refused."""
        assert not reply_requested
        self.offered.append(flushed)
        return len(self.offered) > self._refusals

    def wake_on(self, _descriptor: int) -> None:
        """Watch nothing."""

    def drain(self, *_arguments: object) -> int:
        """Return that no message is there, or refuse a row."""
        if self.refused_row:
            raise self.refused_row
        return 0

    def wait(self, _timeout: float) -> bool:
        """Return that nothing came."""
        return False

    def end(self, _timeout: float) -> None:
        """End the copy."""

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Silent:
    """A sentinel of a server that does not shut down."""

    def spoke(self) -> bool:
        """Return that the server said nothing."""
        return False

    def renew(self) -> bool:
        """Return that the server accepts connections."""
        return True


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_a_status_that_was_not_sent_is_offered_until_it_is_and_only_then_acknowledges() -> None:
    failpoints.arm("after_acknowledge=raise")
    connection, failures = Connection(refusals=3), list[SidecarError]()
    handover = Handover(BatchQueue(1000), Acknowledgement(Lsn(100)))
    replicator = _replicator(connection, handover, threading.Event(), failures)
    handover.acknowledgement.advance(Lsn(200))
    replicator.run(threading.Event(), grace=1.0)
    handover.acknowledgement.close()
    assert connection.offered == [Lsn(200)] * 4
    assert [type(failure) for failure in failures] == [FailpointHit]


def test_the_connection_with_the_lock_is_kept_until_the_session_ends_though_nobody_publishes() -> (
    None
):
    connection, stopping = Connection(refusals=0), threading.Event()
    handover = Handover(BatchQueue(1000), Acknowledgement(Lsn(100)))
    replicator = _replicator(connection, handover, stopping, [])
    handover.queue.break_off()  # as a publisher does that was fenced
    replicator._assembler.advance(Lsn(90_000_000))  # noqa: SLF001 - there is a position to hand on
    thread = threading.Thread(target=replicator.run, args=(threading.Event(), 1.0), daemon=True)
    thread.start()
    await_true(lambda: len(connection.offered) > 1, what="the status goes on")
    assert not connection.closed
    stopping.set()
    thread.join(10)
    assert connection.closed
    handover.acknowledgement.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_halt_keeps_the_lock_until_the_session_releases_it(*, stopped: bool) -> None:
    connection, stopping, released = Connection(refusals=0), threading.Event(), threading.Event()
    connection.refused_row = RecordTooLarge("a row of 2 MB")
    handover, failures = Handover(BatchQueue(1000), Acknowledgement(Lsn(100))), list[SidecarError]()
    replicator = _replicator(connection, handover, stopping, failures)
    handover.queue.break_off()  # as a publisher does that was fenced
    thread = threading.Thread(target=replicator.run, args=(released, 10.0), daemon=True)
    thread.start()
    await_true(lambda: failures, what="the halt was reported")
    if stopped:
        stopping.set()
    before = len(connection.offered)
    await_true(lambda: len(connection.offered) > before + 1, what="the status goes on")
    assert not connection.closed
    released.set()
    thread.join(10)
    assert connection.closed
    handover.acknowledgement.close()
    handover.acknowledgement.clear()  # as a thread does that outlives the session


def _replicator(
    connection: Connection,
    handover: Handover,
    stopping: threading.Event,
    failures: list[SidecarError],
) -> Replicator:
    upkeep = Upkeep(
        connection,
        handover.acknowledgement,
        wal_sender_timeout=0.03,
        sentinel=Silent(),
        renew=lambda _sentinel: Future(),
    )
    return Replicator(
        connection,
        Shop().assembler,
        handover,
        upkeep,
        stopping=stopping,
        fail=failures.append,
    )

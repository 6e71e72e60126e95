"""Gauges read the backlog through the status board, and keep nothing of a session alive."""

import gc
import time
import weakref

import pytest
import structlog

from cdc_sidecar.errors import InternalError
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.commit_times import CommitTimes
from cdc_sidecar.events.position import Position
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from cdc_sidecar.runtime.status import Status
from cdc_sidecar.runtime.status_board import StatusBoard
from cdc_sidecar.runtime.telemetry import Telemetry


def _batch(age: float) -> Batch:
    commits = CommitTimes([[int((time.time() - age) * 1e6), 1]])
    return Batch(Position(Lsn(1)), size=1000, commits=commits)


def test_the_lag_is_the_age_of_the_oldest_change_in_queue_or_open_transaction() -> None:
    backlog = Backlog()
    queue = BatchQueue(100_000, backlog)
    assert backlog.lag() == 0
    queue.put(_batch(50), 0)
    queue.put(_batch(20), 0)
    assert 50 <= backlog.lag() < 60
    assert backlog.queue_bytes == 2000
    taken = queue.get(0)
    assert taken
    assert 20 <= backlog.lag() < 30
    backlog.committing_since = taken.commits.first
    assert 50 <= backlog.lag() < 60
    queue.break_off()
    backlog.committing_since = None
    assert (backlog.lag(), backlog.queue_bytes) == (0, 0)


def test_between_two_streams_the_lag_grows_from_the_end_of_the_last() -> None:
    assert 30 <= Backlog(idle_since=time.time() - 30).lag() < 40


def test_the_lag_does_not_fall_while_sessions_fail_before_they_stream() -> None:
    board = StatusBoard(Status("s", "slot", "id", "0", 0.0))
    telemetry = Telemetry(board, Metrics(), structlog.get_logger())
    board.backlog = Backlog(idle_since=time.time() - 50)
    for _ in range(3):
        telemetry.stream_ended()
        assert 50 <= board.backlog.lag() < 60


def test_a_board_keeps_no_queue_alive() -> None:
    board = StatusBoard(Status("s", "slot", "id", "0", 0.0))
    board.backlog = Backlog()
    queue = BatchQueue(100_000, board.backlog)
    queue.put(_batch(1), 0)
    gone = weakref.ref(queue)
    gc.disable()
    try:
        del queue
        assert gone() is None
    finally:
        gc.enable()
    assert board.queue_bytes() == 1000


def test_an_acknowledgement_never_goes_back() -> None:
    acknowledgement = Acknowledgement(Lsn(5))
    acknowledgement.advance(Lsn(9))
    acknowledgement.advance(Lsn(9))
    with pytest.raises(InternalError, match="0/8 acknowledged after 0/9"):
        acknowledgement.advance(Lsn(8))
    assert acknowledgement.lsn == 9
    acknowledgement.close()

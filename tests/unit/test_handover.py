"""Between the two threads: batches in order and within bounds one way, LSNs the other."""

import os
import select
import threading
from collections.abc import Iterator

import pytest

from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.position import Position
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue


def _batch(size: int) -> Batch:
    return Batch(Position(Lsn(size)), size=size)


def test_batches_come_out_in_the_order_in_which_they_went_in() -> None:
    queue = BatchQueue(100_000)
    batches = [_batch(10_000), _batch(0), _batch(20_000)]
    assert all(queue.put(batch, timeout=0) for batch in batches)
    assert queue.size == 30_512
    assert [queue.get(0) for _ in batches] == batches
    assert queue.size == 0
    assert queue.get(0) is None


def test_a_full_queue_takes_no_more_until_there_is_room() -> None:
    queue = BatchQueue(100_000)
    assert queue.put(_batch(60_000), timeout=0)
    assert not queue.put(_batch(41_000), timeout=0)
    assert queue.put(_batch(40_000), timeout=0)
    assert queue.size == 100_000
    queue.get(0)
    assert queue.put(_batch(60_000), timeout=0)


def test_a_batch_larger_than_the_bound_enters_alone() -> None:
    queue = BatchQueue(100_000)
    assert queue.put(_batch(1_000_000), timeout=0)
    assert not queue.put(_batch(1), timeout=0)
    queue.get(0)
    assert queue.put(_batch(1), timeout=0)
    assert not queue.put(_batch(1_000_000), timeout=0)


def test_a_closed_queue_hands_out_what_waits_and_is_then_over() -> None:
    queue = BatchQueue(100_000)
    queue.put(_batch(1), timeout=0)
    queue.close()
    assert not queue.over
    assert queue.get(None) == _batch(1)
    assert queue.over
    assert queue.get(None) is None


def test_a_queue_that_broke_off_is_over_and_takes_nothing() -> None:
    queue = BatchQueue(100_000)
    queue.put(_batch(1), timeout=0)
    queue.break_off()
    assert queue.over
    assert queue.size == 0
    assert queue.get(None) is None
    assert not queue.put(_batch(1), timeout=0)


@pytest.mark.parametrize("end", ["close", "break_off"])
def test_a_waiting_reader_is_let_go_when_the_queue_ends(end: str) -> None:
    queue = BatchQueue(100_000)
    got: list[Batch | None] = []
    reader = threading.Thread(target=lambda: got.append(queue.get(None)))
    reader.start()
    getattr(queue, end)()
    reader.join(30)
    assert got == [None]


def test_a_waiting_writer_is_let_go_when_nobody_reads_any_more() -> None:
    queue = BatchQueue(1)
    queue.put(_batch(1), timeout=0)
    put: list[bool] = []
    writer = threading.Thread(target=lambda: put.append(queue.put(_batch(1), timeout=30)))
    writer.start()
    queue.break_off()
    writer.join(30)
    assert put == [False]


def test_a_waiting_writer_goes_on_when_a_batch_is_taken() -> None:
    queue = BatchQueue(1)
    queue.put(_batch(1), timeout=0)
    put: list[bool] = []
    writer = threading.Thread(target=lambda: put.append(queue.put(_batch(2), timeout=30)))
    writer.start()
    assert queue.get(30) == _batch(1)
    writer.join(30)
    assert put == [True]
    assert queue.get(0) == _batch(2)


@pytest.fixture
def acknowledgement() -> Iterator[Acknowledgement]:
    """Return an acknowledgement that is closed behind the test."""
    made = Acknowledgement(Lsn(5))
    yield made
    made.close()


def _readable(acknowledgement: Acknowledgement) -> bool:
    return bool(select.select([acknowledgement.descriptor], [], [], 0)[0])


def test_nothing_is_acknowledged_beyond_the_start_at_first(
    acknowledgement: Acknowledgement,
) -> None:
    assert acknowledgement.lsn == 5
    assert not _readable(acknowledgement)


def test_an_acknowledged_position_wakes_the_reader_until_it_is_cleared(
    acknowledgement: Acknowledgement,
) -> None:
    acknowledgement.advance(Lsn(9))
    acknowledgement.advance(Lsn(12))
    assert acknowledgement.lsn == 12
    assert _readable(acknowledgement)
    acknowledgement.clear()
    assert not _readable(acknowledgement)
    acknowledgement.clear()


def test_a_wake_up_alone_acknowledges_nothing(acknowledgement: Acknowledgement) -> None:
    acknowledgement.wake()
    assert _readable(acknowledgement)
    assert acknowledgement.lsn == 5


def test_a_closed_acknowledgement_leaves_no_descriptor_behind() -> None:
    made = Acknowledgement(Lsn(5))
    descriptor = made.descriptor
    made.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)

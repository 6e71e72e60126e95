"""After an error no part of the broken transaction is published; nothing outlives its session."""

import sys
import threading

import pytest

from cdc_sidecar.config.model import Publish
from cdc_sidecar.errors import PublicationMissing, SidecarError, TransactionFailed, Unrepresentable
from cdc_sidecar.events import batching
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from tests.unit import shop, wire
from tests.unit.publishing import Producer
from tests.unit.publishing import publisher as make_publisher
from tests.waiting import await_true

_SHORT = Publish.model_validate({"split_after": "50ms", "transaction_timeout": "1s"})
_PARTIAL = Partial(Lsn(900), 7, Lsn(500), 0, 0, 1)


def test_no_part_leaves_after_a_row_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PART_BYTES", 1)
    described = shop.layout("orders", {"id": shop.BIGINT, "total": shop.TOTAL}, key=("id",))
    session = shop.Shop(described, tables=[shop.table()])
    session.feed(wire.frame(10, wire.begin(900)), wire.frame(0, wire.relation(described.relation)))
    session.feed(wire.frame(20, wire.insert(described.oid, ["1", "1.00"])))
    with pytest.raises(Unrepresentable):
        session.feed(wire.frame(30, wire.insert(described.oid, ["2", "NaN"])))
    assert session.batches() == [], "the position would cover the row that failed"


def test_a_long_transaction_is_split_though_no_further_batch_comes() -> None:
    producer, queue = Producer(), BatchQueue(1000)
    publisher = make_publisher(producer, queue, _SHORT)
    thread = threading.Thread(target=publisher.run, daemon=True)
    thread.start()
    queue.put(Batch(Position(Lsn(100), _PARTIAL), records=[Record("topic", b"v", b"k")], size=2), 1)
    await_true(lambda: producer.commits, what="the part was committed")
    queue.close()
    thread.join(10)
    assert b'"part":1' in producer.commits[0][-1].value


def test_a_publisher_that_is_given_up_takes_no_further_batch() -> None:
    producer, queue = Producer(), BatchQueue(1000)
    publisher = make_publisher(producer, queue, Publish())
    queue.put(Batch(Position(Lsn(200)), records=[Record("topic", b"v", b"k")], size=2), 1)
    publisher.abandon()
    publisher.run()
    assert producer.commits == []


def test_nothing_is_committed_once_the_connection_with_the_lock_is_lost() -> None:
    producer, queue = Producer(), BatchQueue(1000)
    hour = Publish.model_validate({"max_delay": "1h"})
    publisher = make_publisher(producer, queue, hour, fail=lambda _error: None)
    thread = threading.Thread(target=publisher.run, daemon=True)
    thread.start()
    for end in (200, 300):  # the first is committed at once, the second waits for company
        queue.put(Batch(Position(Lsn(end)), records=[Record("topic", b"v", b"k")], size=2), 1)
        await_true(lambda: producer.commits, what="the first was committed")
    await_true(lambda: not queue.size and len(producer.open) == 1, what="the second was produced")
    queue.break_off()
    thread.join(10)
    assert len(producer.commits) == 1
    assert producer.aborts == 1


def test_a_session_is_kept_while_no_broker_answers_and_ends_when_one_does() -> None:
    failures: list[SidecarError] = []
    asked: list[int] = []
    answers = iter([False, False, True])

    def brokers_answer() -> bool:
        asked.append(len(failures))
        return next(answers)

    producer, queue = Producer(), BatchQueue(1000)
    producer.committing = _fail_to_commit
    publisher = make_publisher(
        producer, queue, Publish(), brokers_answer=brokers_answer, fail=failures.append
    )
    queue.put(Batch(Position(Lsn(200)), records=[Record("topic", b"v", b"k")], size=2), 1)
    publisher.run()
    assert asked == [0, 0, 0]
    assert [type(error) for error in failures] == [TransactionFailed]


def test_nothing_is_handled_while_a_broken_transaction_is_aborted_and_kafka_is_asked() -> None:
    """The client library keeps the exception that is handled when a call of it fails."""
    handled: list[object] = []

    class Watching(Producer):
        """A producer that looks at what is handled."""

        def abort(self) -> bool:
            handled.append(sys.exc_info()[1])
            return True

    def brokers_answer() -> bool:
        handled.append(sys.exc_info()[1])
        return True

    producer, queue = Watching(), BatchQueue(1000)
    producer.committing = _fail_to_commit
    publisher = make_publisher(
        producer, queue, Publish(), brokers_answer=brokers_answer, fail=lambda _error: None
    )
    queue.put(Batch(Position(Lsn(200)), records=[Record("topic", b"v", b"k")], size=2), 1)
    publisher.run()
    assert handled == [None, None]


def test_a_session_whose_postgres_is_gone_does_not_wait_for_brokers() -> None:
    failures: list[SidecarError] = []
    producer, queue = Producer(), BatchQueue(1000)

    def brokers_answer() -> bool:
        queue.break_off()
        return False

    producer.committing = _fail_to_commit
    publisher = make_publisher(
        producer, queue, Publish(), brokers_answer=brokers_answer, fail=failures.append
    )
    queue.put(Batch(Position(Lsn(200)), records=[Record("topic", b"v", b"k")], size=2), 1)
    publisher.run()
    assert len(failures) == 1


def _fail_to_commit() -> None:
    raise TransactionFailed("no broker answered")


def test_a_wake_after_the_session_is_over_reaches_nobody() -> None:
    acknowledgement = Acknowledgement(Lsn(1))
    acknowledgement.close()
    acknowledgement.advance(Lsn(2))
    assert acknowledgement.lsn == Lsn(2)


def test_no_frame_after_the_warning_of_a_missing_publication_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [wire.frame(10, wire.begin(900)), wire.frame(20, wire.commit(900, 950))]
    connection = ReplicationConnection.__new__(ReplicationConnection)

    class Wire:
        """Stands in for libpq: the warning comes with the second frame."""

        def get_copy_data(self, _asynchronous: int) -> tuple[int, bytes]:
            if len(frames) == 1:
                connection._notice = PublicationMissing("p")  # noqa: SLF001 - as libpq's handler
            frame = frames.pop(0)
            return len(frame), frame

    connection._notice = None  # noqa: SLF001 - made without a server
    monkeypatch.setattr(connection, "_pgconn", Wire(), raising=False)
    taken: list[bytes] = []
    with pytest.raises(PublicationMissing):
        connection.drain(taken.append, lambda _keepalive: None, 1_000_000)
    assert len(taken) == 1

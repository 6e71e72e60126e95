"""When a Kafka transaction is closed."""

import pytest

from cdc_sidecar.config.model import Publish
from cdc_sidecar.errors import SidecarError, TransactionFailed
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.handover import BatchQueue
from cdc_sidecar.runtime.publisher import MARKERS_PAUSE
from tests.unit.publishing import Producer, publisher


@pytest.mark.parametrize(("busy", "commits"), [(True, 1), (False, 2)])
def test_a_busy_stream_gathers_what_a_quiet_one_commits_at_once(busy: bool, commits: int) -> None:  # noqa: FBT001 - a case
    producer, queue = Producer(), BatchQueue(100_000)
    queue.busy = busy
    for end in (200, 300):
        queue.put(Batch(Position(Lsn(end)), records=[Record("topic", b"v", b"k")], size=2), 1)
    queue.close()
    publisher(producer, queue, Publish.model_validate({"max_delay": "0ms"})).run()
    assert len(producer.commits) == commits


_PART = Partial(Lsn(290), 7, Lsn(210), 0, 0, 1)


def _whole(end: int) -> Batch:
    return Batch(
        Position(Lsn(end)), records=[Record("topic", b"%d" % end, b"k")], size=2, transactions=1
    )


def _parts() -> tuple[Batch, Batch]:
    """Return a source transaction that comes in two parts, between LSN 200 and 300."""
    first = Batch(Position(Lsn(200), _PART), records=[Record("topic", b"first", b"k")], size=2)
    last = Batch(Position(Lsn(300)), [Record("topic", b"last", b"k")], size=2, continues=True)
    return first, last


def _values(producer: Producer) -> list[list[bytes | None]]:
    """Return what was committed together, without positions."""
    return [[record.value for record in commit[:-1]] for commit in producer.commits]


def test_a_long_transaction_whose_commit_waits_shares_a_kafka_transaction() -> None:
    producer, queue = Producer(), BatchQueue(100_000)
    queue.busy = True
    for batch in (_whole(200), *_parts(), _whole(400)):
        queue.put(batch, 1)
    queue.close()
    publisher(producer, queue, Publish()).run()
    assert _values(producer) == [[b"200", b"first", b"last", b"400"]]


def test_whole_transactions_do_not_wait_for_one_whose_commit_has_not_come() -> None:
    producer, queue = Producer(), BatchQueue(100_000)
    queue.busy = True
    first, last = _parts()

    def come(record: Record) -> None:
        if record.value == b"first":
            queue.put(last, 1)
            queue.put(_whole(400), 1)
            queue.close()

    producer.taken = come
    for batch in (_whole(200), first):
        queue.put(batch, 1)
    publisher(producer, queue, Publish()).run()
    assert _values(producer) == [[b"200"], [b"first", b"last"], [b"400"]]


def test_no_transaction_begins_while_the_broker_writes_the_markers_of_the_last() -> None:
    producer, queue = Producer(), BatchQueue(100_000)
    for end in range(200, 1000, 100):
        queue.put(_whole(end), 1)
    queue.close()
    publisher(producer, queue, Publish.model_validate({"max_delay": "0ms"})).run()
    pauses = [b - e for b, e in zip(producer.began[1:], producer.ended, strict=False)]
    assert len(pauses) == 7
    assert min(pauses) >= MARKERS_PAUSE


def _with_schema(end: int) -> Batch:
    batch = _whole(end)
    batch.schemas = [(b"subject/%d" % end, b"{}")]
    return batch


def test_a_schema_is_served_only_once_its_transaction_is_committed() -> None:
    producer, queue = Producer(), BatchQueue(100_000)
    served: list[bytes] = []
    seen: list[list[bytes]] = []
    producer.committing = lambda: seen.append(list(served))
    queue.put(_with_schema(200), 1)
    queue.close()
    serve = lambda key, _value: served.append(key)  # noqa: E731 - one line beside its test
    publisher(producer, queue, Publish(), serve_schema=serve).run()
    assert seen == [[]], "nothing is served before the commit"
    assert served == [b"subject/200"]


def test_a_schema_of_an_aborted_transaction_is_never_served() -> None:
    producer, queue = Producer(), BatchQueue(100_000)
    served: list[bytes] = []

    def fail() -> None:
        raise TransactionFailed("the brokers said no")

    producer.committing = fail
    queue.put(_with_schema(200), 1)
    queue.close()
    failures: list[SidecarError] = []
    publisher(
        producer,
        queue,
        Publish(),
        fail=failures.append,
        serve_schema=lambda key, _value: served.append(key),
    ).run()
    assert len(failures) == 1
    assert producer.aborts == 1
    assert served == []


def test_a_publisher_that_has_failed_gives_its_producer_up() -> None:
    producer, queue = Producer(), BatchQueue(100_000)

    def fail() -> None:
        raise TransactionFailed("the brokers said no")

    producer.committing = fail
    queue.put(_whole(200), 1)
    publisher(producer, queue, Publish(), fail=lambda _error: None).run()
    assert producer.dropped

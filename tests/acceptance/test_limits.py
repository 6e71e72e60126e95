"""Small rows for topics that accept only small batches are published, not aborted again."""

from collections.abc import Callable

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import read_topics
from tests.acceptance.own_postgres import ITEMS
from tests.topics import make_topic
from tests.waiting import await_true

ROWS = 2000  # of about 100 bytes
LIMIT = 20_000  # bytes; all rows together have ten times as many
_OUTBOX = '\n[[outboxes]]\ntable = "public.outbox"\n'
_LABEL = "(SELECT string_agg(md5(n || '-' || k), '') FROM generate_series(1, 3) k)"
"""Text that no compression makes shorter than its batch's limit."""


def _outbox_service(make_service: Callable[..., Service], more: str = "") -> Service:
    """Yield a service that has only an outbox, so none of its topics is known at start."""
    service = make_service(_OUTBOX + more)
    service.sql(
        "CREATE TABLE outbox (id int PRIMARY KEY, aggregatetype text, aggregateid text,"
        " type text, payload text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    return service


def _make_topic(service: Service, name: str, limit: int = LIMIT) -> None:
    make_topic(service.kafka, name, settings={"max.message.bytes": str(limit)})


def _write_outbox(service: Service, kind: str) -> None:
    rows = f"SELECT n, '{kind}', n, 'made', {_LABEL} FROM generate_series(1, {ROWS}) n"
    service.sql(f"INSERT INTO outbox {rows}", "DELETE FROM outbox")


def _await_outbox(service: Service, times: int = 1) -> None:
    def published() -> bool:
        events = service.sidecar.events("transaction_published")
        return len([event for event in events if event["bytes"] > 10 * LIMIT]) == times

    await_true(published, what="the rows are published")


def _outbox_ids(service: Service, topic: str) -> list[int]:
    """Return the sorted ids of a topic's events, repeated ones included."""
    records = [record for each in read_topics(service.kafka, [topic]).values() for record in each]
    return sorted(int(dict(headers)["id"]) for _, _, headers in records)


def test_outbox_topics_that_the_sidecar_makes_with_a_small_limit_take_many_small_rows(
    make_service: Callable[..., Service],
) -> None:
    limits = f'[topics.config]\n"max.message.bytes" = "{LIMIT}"\n'
    service = _outbox_service(make_service, limits)
    service.sidecar.start_and_stream()
    _write_outbox(service, service.name)
    _await_outbox(service)
    assert _outbox_ids(service, f"outbox.event.{service.name}") == list(range(1, ROWS + 1))
    assert not service.sidecar.events("session_ended")


def test_outbox_topics_made_by_hand_with_a_small_limit_take_many_small_rows(
    make_service: Callable[..., Service],
) -> None:
    """The limit of a topic is read at start; a topic that appears later costs one session."""
    service = _outbox_service(make_service)
    sidecar, kinds = service.sidecar, (f"{service.name}_early", f"{service.name}_late")
    _make_topic(service, f"outbox.event.{kinds[0]}")
    sidecar.start_and_stream()
    _write_outbox(service, kinds[0])
    _await_outbox(service)
    assert not sidecar.events("session_ended")
    _make_topic(service, f"outbox.event.{kinds[1]}", limit=LIMIT // 4)
    _write_outbox(service, kinds[1])
    _await_outbox(service, times=2)
    assert [event["code"] for event in sidecar.events("session_ended")] == ["CDC-406"]
    for kind in kinds:
        assert _outbox_ids(service, f"outbox.event.{kind}") == list(range(1, ROWS + 1))


def test_a_tables_topic_made_by_hand_with_a_small_limit_takes_many_small_rows(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS)
    service.sql(*ITEMS)
    (topic,) = service.topics("items")
    _make_topic(service, topic)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql(f"INSERT INTO items SELECT n, n, {_LABEL} FROM generate_series(1, {ROWS}) n")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == ROWS
    assert not service.sidecar.events("session_ended")

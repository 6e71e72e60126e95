"""A transaction that hangs although it was committed is published once, and so is one that was not.

The coordinator never learns of some partitions of the transaction, so it writes no marker there,
as when a broker that was killed comes back too early.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cdc_sidecar.config.model import Kafka
from cdc_sidecar.failpoints import VARIABLE, Failpoint
from cdc_sidecar.kafka.hanging import OffsetRange
from cdc_sidecar.kafka.read import committed_reader, read_places
from cdc_sidecar.postgres.lsn import parse_lsn
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.brokers import QUICK, broker_behind_wire, end_of, service_on
from tests.acceptance.conftest import TABLES, Service
from tests.acceptance.events import read_topics
from tests.acceptance.own_postgres import published_ids, slot_column
from tests.acceptance.snapshot_kinds import INITIAL
from tests.acceptance.test_exactly_once import OF_HANGING
from tests.acceptance.wire import Api, Cut, Wire
from tests.hanging import UNVERIFIED
from tests.topics import make_topic
from tests.waiting import await_true

Wired = tuple[KafkaBroker, Wire]
_ITEM = "INSERT INTO items VALUES (2, 2, 'b')"
_OUTBOX = """
[[outboxes]]
{}
topic = "out.{}.{{aggregatetype}}"
payload = "raw"
columns.timestamp = "at"
"""
_EVENT = """INSERT INTO outbox (id, payload) VALUES ({0}, '{{"number": {0}}}')"""
_MESSAGE = """SELECT pg_logical_emit_message(false, 'box', '{{"id": "{0}", "aggregatetype": "order",
"aggregateid": "7", "type": "x", "at": 1580601600000, "payload": {{"number": {0}}}}}')"""
_AT = 1_580_601_600_000  # 2 February 2020, in milliseconds since 1970


@pytest.fixture(scope="module")
def wired() -> Iterator[Wired]:
    """Give a broker that takes records of partitions which its coordinator does not know."""
    with broker_behind_wire(QUICK | UNVERIFIED) as both:
        yield both


@pytest.fixture
def make_wired(wired: Wired, make_service: Callable[..., Service]) -> Callable[..., Service]:
    """Make services whose sidecars reach the broker through the proxy."""
    broker, wire = wired
    seen_at = f"127.0.0.1:{wire.port}"
    return partial(service_on, broker.bootstrap_servers, make_service, seen_at=seen_at)


def _publish(service: Service, statement: str) -> Service:
    """Let the sidecar publish what a statement writes, and stop it."""
    service.sidecar.start_and_stream()
    service.sql(statement)
    service.await_published()
    assert service.sidecar.terminate() == 0
    return service


@pytest.fixture
def service(make_wired: Callable[..., Service]) -> Service:
    """Give a service whose sidecar has published item 1 and was stopped."""
    return _publish(make_wired(), "INSERT INTO items VALUES (1, 1, 'a')")


def _names(service: Service, *kinds: str) -> list[str]:
    names = {
        "position": f"_cdc.{service.name}.position",
        "items": f"{service.name}.public.items",
        "outbox": f"out.{service.name}.order",
    }
    return [names[kind] for kind in kinds]


@contextmanager
def _hanging(wired: Wired, service: Service, *kinds: str, statement: str = _ITEM) -> Iterator[None]:
    """Let a transaction hang that the block publishes and that the sidecar does not survive."""
    topics = _names(service, *kinds)
    service.sql(statement)
    with wired[1].forgetting(*topics):
        yield
    for topic in topics:
        ends = [end_of(service.kafka, topic, decided=decided) for decided in (True, False)]
        assert ends[0] < ends[1], f"nothing hangs on {topic}"


def _hang_acknowledged(wired: Wired, service: Service, *kinds: str, **more: str) -> None:
    """Let a committed transaction hang whose position Postgres knows."""
    with _hanging(wired, service, *kinds, **more):
        service.sidecar.start_and_stream()
        goal = service.current_lsn()
        await_true(
            lambda: parse_lsn(str(slot_column(service, "confirmed_flush_lsn"))) >= goal,
            what="the transaction is acknowledged",
        )
        service.sidecar.kill()


def _hang_committed(wired: Wired, service: Service, *kinds: str, **more: str) -> None:
    """Let a committed transaction hang of which Postgres does not know."""
    with _hanging(wired, service, *kinds, **more):
        _kill_once_committed(service)


def _kill_once_committed(service: Service) -> None:
    """Start the sidecar, and kill it after its first commit."""
    service.sidecar.start(environment={VARIABLE: f"{Failpoint.BEFORE_ACKNOWLEDGE.value}=kill"})
    assert service.sidecar.await_exit() == -9, "the failpoint was never reached"


def _hang_open(wired: Wired, service: Service, *kinds: str, **more: str) -> None:
    """Let a transaction hang whose commit the coordinator was not asked for."""
    wire = wired[1]
    with _hanging(wired, service, *kinds, **more):
        wire.arm(Api.END_TXN, Cut.REQUEST_LOST)
        service.sidecar.start()
        await_true(lambda: not wire.armed, what="the sidecar commits")
        service.sidecar.kill()


def _assert_published_once(service: Service) -> None:
    service.sql("INSERT INTO items VALUES (3, 3, 'c')")
    service.sidecar.start_and_stream()
    service.await_published()
    assert published_ids(service) == [1, 2, 3]


def _restored(service: Service) -> list[str]:
    """Return the topics on which records were restored."""
    events = service.sidecar.events("hanging_transactions_restored")
    return [name.rpartition("-")[0] for event in events for name in event["partitions"]]


@pytest.mark.parametrize("kinds", [("position", "items"), ("position",), ("items",)], ids="-".join)
def test_a_transaction_that_postgres_knows_is_published_once(
    wired: Wired, service: Service, kinds: tuple[str, ...]
) -> None:
    _hang_acknowledged(wired, service, *kinds)
    _assert_published_once(service)
    assert _restored(service) == (_names(service, "items") if "items" in kinds else [])
    assert not service.sidecar.events("hanging_transactions_aborted")


@pytest.mark.parametrize("point", sorted(OF_HANGING, key=str), ids=str)
def test_a_sidecar_that_is_killed_while_it_restores_goes_on(
    wired: Wired, service: Service, point: Failpoint
) -> None:
    _hang_acknowledged(wired, service, "position", "items")
    service.sidecar.start(environment={VARIABLE: f"{point.value}=kill"})
    assert service.sidecar.await_exit() == -9, "the failpoint was never reached"
    _assert_published_once(service)
    assert _restored(service) == _names(service, "items")


@pytest.mark.parametrize("kinds", [("position", "items"), ("position",), ("items",)], ids="-".join)
def test_a_transaction_that_only_kafka_knows_is_published_once(
    wired: Wired, service: Service, kinds: tuple[str, ...]
) -> None:
    _hang_committed(wired, service, *kinds)
    _assert_published_once(service)
    # If nobody knows of the transaction, it counts as aborted, and is sent again.
    assert _restored(service) == (_names(service, "items") if kinds == ("items",) else [])


@pytest.mark.parametrize("kinds", [("position", "items"), ("position",), ("items",)], ids="-".join)
def test_a_transaction_that_was_not_committed_is_published_once(
    wired: Wired, service: Service, kinds: tuple[str, ...]
) -> None:
    _hang_open(wired, service, *kinds)
    _assert_published_once(service)
    assert _restored(service) == []


def test_the_schemas_that_a_start_has_written_are_no_sign_of_a_commit(
    wired: Wired, make_wired: Callable[..., Service]
) -> None:
    wire, fresh = wired[1], make_wired()
    fresh.sidecar.start_and_stream()
    with _hanging(wired, fresh, "position", statement="SELECT"):
        wire.arm(Api.END_TXN, Cut.REQUEST_LOST)
        fresh.sql(_ITEM)
        await_true(lambda: not wire.armed, what="the sidecar commits")
        fresh.sidecar.kill()
    fresh.sidecar.start_and_stream()
    fresh.await_published()
    assert published_ids(fresh) == [2]


def _with_outbox(service: Service, origin: str = 'table = "public.outbox"') -> Service:
    """Add an outbox to the configuration, and return the service."""
    with service.sidecar.config.open("a") as config:
        config.write(_OUTBOX.format(origin, service.name))
    return service


@pytest.fixture
def outbox(make_wired: Callable[..., Service]) -> Service:
    """Give a service with an outbox whose events are from another year; event 1 is published."""
    made = _with_outbox(make_wired(more=TABLES))
    made.sql(
        "CREATE TABLE outbox (id int PRIMARY KEY, at timestamptz DEFAULT '2020-02-02',"
        " aggregatetype text DEFAULT 'order', aggregateid text DEFAULT '7', type text DEFAULT 'x',"
        " payload jsonb)"
    )
    return _publish(made, _EVENT.format(1))


@pytest.fixture
def messages(make_wired: Callable[..., Service]) -> Service:
    """Give a service with an outbox without a table; message 1 is published."""
    made = _with_outbox(make_wired(more=TABLES), 'prefix = "box"')
    return _publish(made, _MESSAGE.format(1))


@pytest.mark.parametrize("hang", [_hang_acknowledged, _hang_committed, _hang_open])
@pytest.mark.parametrize("kinds", [("position", "outbox"), ("outbox",)], ids="-".join)
def test_an_event_with_a_time_of_its_own_is_published_once(
    wired: Wired, outbox: Service, hang: Callable[..., None], kinds: tuple[str, ...]
) -> None:
    hang(wired, outbox, *kinds, statement=_EVENT.format(2))
    outbox.sql(_EVENT.format(3))
    outbox.sidecar.start_and_stream()
    outbox.await_published()
    (topic,) = _names(outbox, "outbox")
    records = [record for place in read_topics(outbox.kafka, [topic]).values() for record in place]
    assert [json.loads(value or b"")["number"] for _key, value, _headers in records] == [1, 2, 3]
    assert [dict(headers)["id"] for _key, _value, headers in records] == [b"1", b"2", b"3"]
    assert _times(outbox.kafka, topic) == [_AT, _AT, _AT]
    known = hang is _hang_acknowledged or (hang is _hang_committed and kinds == ("outbox",))
    assert _restored(outbox) == ([topic] if known else [])


def test_a_message_outside_of_a_transaction_is_published_once(
    wired: Wired, messages: Service
) -> None:
    _hang_acknowledged(wired, messages, "outbox", statement=_MESSAGE.format(2))
    messages.sql(_MESSAGE.format(3))
    messages.sidecar.start_and_stream()
    messages.await_published()
    (topic,) = _names(messages, "outbox")
    places = read_topics(messages.kafka, [topic]).values()
    values = [value or b"" for place in places for _key, value, _headers in place]
    assert [json.loads(value)["number"] for value in values] == [1, 2, 3]
    assert _restored(messages) == [topic]


def test_a_running_sidecar_restores_what_hangs_once_a_broker_has_been_away(
    wired: Wired, service: Service
) -> None:
    wire = wired[1]
    service.sidecar.start_and_stream()
    with _hanging(wired, service, "items", statement="SELECT"):
        service.sql(_ITEM)
        service.await_published()
    wire.arm(Api.ADD_PARTITIONS_TO_TXN, Cut.RESET)
    service.await_published()
    assert not wire.armed
    await_true(lambda: _restored(service), what="the records are restored")
    assert published_ids(service) == [1, 2]
    assert len(service.sidecar.events("stream_started")) == len(("before", "now"))


def test_what_others_have_published_in_between_is_not_repeated(
    wired: Wired, outbox: Service
) -> None:
    (topic,) = _names(outbox, "outbox")
    _hang_acknowledged(wired, outbox, "outbox", statement=_EVENT.format(2))
    other = Producer({"bootstrap.servers": outbox.kafka})
    other.produce(topic, b'{"number": 0}', b"7", headers={"id": b"0", "commit_lsn": b"1"})
    other.produce(topic, b'{"number": 0}', b"7", headers={"id": b"0"})
    assert other.flush(20) == 0
    outbox.sidecar.start_and_stream()
    outbox.await_published()
    places = read_topics(outbox.kafka, [topic]).values()
    ids = [dict(headers)["id"] for place in places for _key, _value, headers in place]
    assert sorted(ids) == [b"0", b"0", b"1", b"2"]
    assert _restored(outbox) == [topic]


def _times(kafka: str, topic: str) -> list[int]:
    """Return the times of a topic's records."""
    partitions = AdminClient({"bootstrap.servers": kafka}).list_topics(topic, timeout=20)
    whole = [
        OffsetRange(topic, number, 0, 1 << 40) for number in partitions.topics[topic].partitions
    ]
    reader = committed_reader(Kafka.model_validate({"bootstrap_servers": kafka}))
    times = [message.timestamp()[1] for message in read_places(reader, whole)]
    reader.close()
    return times


@pytest.mark.parametrize("kinds", [("items",), ("position", "items")], ids="-".join)
def test_rows_of_a_snapshot_are_published_once(
    wired: Wired, make_wired: Callable[..., Service], kinds: tuple[str, ...]
) -> None:
    wire, service = wired[1], make_wired(**INITIAL)
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 500) n")
    _kill_once_committed(service)
    with wire.forgetting(*_names(service, *kinds)):
        _kill_once_committed(service)
    service.sidecar.start_and_stream()
    # A sidecar that was killed may have said that its snapshot is complete.
    service.sidecar.await_true(
        lambda: 500 in published_ids(service), deadline=60, what="the last row is published"
    )
    service.await_published()
    assert sorted(published_ids(service)) == list(range(1, 501))


def test_teardown_leaves_the_topic_of_another_owner_whole(
    wired: Wired, make_wired: Callable[..., Service]
) -> None:
    service = make_wired()
    make_topic(service.kafka, *_names(service, "items"))
    _publish(service, "INSERT INTO items VALUES (1, 1, 'a')")
    _hang_acknowledged(wired, service, "position", "items")
    run = service.sidecar.run("teardown", "--yes")
    assert run.returncode == 0, run.stderr
    places = read_topics(service.kafka, _names(service, "items")).values()
    assert sum(map(len, places)) == len(("item 1", "item 2"))

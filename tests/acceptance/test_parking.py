"""`on_error = "park"`: what cannot be published is kept whole, once, and everything else flows."""

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from cdc_sidecar.failpoints import VARIABLE, Failpoint
from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.events import Event, read_events, read_topics
from tests.acceptance.outboxes import configure
from tests.acceptance.snapshot_kinds import await_ended
from tests.topics import set_topic

TABLE = """
[[tables]]
name = "public.items"
columns = ["id", "n", "label"]
on_error = "park"
"""
ITEMS = (
    "CREATE TABLE items (id int PRIMARY KEY, n numeric(9, 2), label text, hidden text)",
    "CREATE PUBLICATION cdc FOR ALL TABLES",
)
LARGE = "(SELECT string_agg(md5(k::text), '') FROM generate_series(1, 100000) AS k)"
"""The SQL of a text of 3.2 MB, which no topic of the tests takes."""


def parked(service: Service, *words: str) -> list[dict[str, Any]]:
    """Return what `cdc-sidecar parked --json` prints."""
    done = service.sidecar.run("parked", "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def changes(service: Service) -> list[Event]:
    """Return the events of table items that readers see, in the order of their commits."""
    found = read_events(service.kafka, service.name, service.topics("items"))
    events = [event for place in found.values() for event in place if event.op]
    return sorted(events, key=_order)


def _order(event: Event) -> tuple[int, ...]:
    return tuple(map(int, (event.identity or "").split("/")))


def ids(found: list[dict[str, Any]]) -> list[str]:
    """Return the keys of parked rows."""
    return [event["key"]["id"] for event in found]


def test_rows_that_cannot_be_published_are_parked_and_all_others_flow(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLE + MARKS + "[transactions]\ntopic = true\n")
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql(
        "INSERT INTO items VALUES (1, 1, 'one', 'x'), (2, 'NaN', 'two', 'secret'), (3, 3, '', '')",
        "UPDATE items SET n = 'NaN' WHERE id = 1",
        "UPDATE items SET n = 2 WHERE id = 2",
        f"INSERT INTO items VALUES (4, 4, {LARGE})",
        "DELETE FROM items WHERE id = 3",
    )
    service.await_published()
    assert [(event.op, json.loads(event.key)["id"], event.identity[-2:] if event.identity else "")
            for event in changes(service)] == [
        ("c", "1", "/1"), ("c", "3", "/2"), ("u", "2", "/1"), ("d", "3", "/1"),
    ]  # fmt: skip
    inserted, updated, large = parked(service)
    assert (inserted["op"], inserted["key"], inserted["before"]) == ("c", {"id": "2"}, None)
    assert inserted["after"] == {"id": "2", "n": "NaN", "label": "two"}
    assert inserted["error"]["code"] == "CDC-301"
    assert "secret" not in json.dumps(inserted)
    assert (updated["op"], updated["after"]["n"], updated["after"]["label"]) == ("u", "NaN", "one")
    assert large["error"]["code"] == "CDC-302"
    assert (len(large["after"]["label"]), large["after"]["id"]) == (3_200_000, "4")
    (records,) = read_topics(service.kafka, [f"{service.name}.public.items.parked"]).values()
    assert [dict(headers).get("part") for *_, headers in records][2:] == [
        b"1/4", b"2/4", b"3/4", b"4/4",
    ]  # fmt: skip


def test_what_was_parked_is_counted_logged_and_shown(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLE + MARKS)
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    series = 'cdc_sidecar_parked_events_total{reason="CDC-301",table="public.items"}'
    assert f"{series} 0.0" in service.sidecar.scrape()
    service.sql("INSERT INTO items SELECT k, 'NaN' FROM generate_series(1, 12) AS k")
    service.await_published()
    assert f"{series} 12.0" in service.sidecar.scrape()
    logged = service.sidecar.events("event_parked")
    assert len(logged) == 10
    assert logged[0]["code"] == "CDC-301"
    assert logged[0]["lsn"]
    assert len({event["key_hash"] for event in logged}) == 10
    assert service.sidecar.events("events_parked")[0]["further"] == 2
    assert "NaN" not in service.sidecar.log_text()
    status = service.sidecar.status()
    assert status
    shown = {origin["name"]: origin["parked"] for origin in status["tables"]["shown"]}
    assert shown["public.items"] == 12
    assert (status["tone"], status["tables"]["parked"]["total"]) == ("warn", 12)
    assert "CdcSidecarEventsParked" in status["runbook"]
    assert "public.items 12" in service.sidecar.run("status").stdout
    text = service.sidecar.run("parked", "--limit", "1").stdout
    assert "public.items  insert  id=12\n  CDC-301 value cannot be represented: " in text
    wrong = service.sidecar.run("parked", "public.itms")
    assert wrong.returncode == 3
    assert "did you mean public.items?" in wrong.stderr


def test_a_parked_row_is_sent_again_as_the_command_says(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLE + MARKS)
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (7, 'NaN'), (8, 8)")
    service.await_published()
    lines = service.sidecar.run("parked").stdout.splitlines()
    mend, again = (next(line for line in lines if name in line) for name in ("mend:", "again:"))
    assert 'set [tables.column.n] as = "text"' in mend
    service.reconfigure(MARKS, f'[tables.column.n]\nas = "text"\n{MARKS}')
    assert service.sidecar.terminate() == 0
    service.sidecar.start_and_stream()
    again = again.removesuffix(f" --config {service.sidecar.config}")
    program, snapshot, start, *rest = shlex.split(again.partition("again:")[2])
    assert (program, snapshot, start) == ("cdc-sidecar", "snapshot", "start")
    assert service.sidecar.run("snapshot start", *rest).returncode == 0
    await_ended(service, 1)
    sent = changes(service)
    assert [(event.op, json.loads(event.after or "")["n"]) for event in sent] == [
        ("c", "8.00"), ("r", "NaN"),
    ]  # fmt: skip


def test_each_event_is_parked_once_though_the_sidecar_is_killed(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLE + MARKS)
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    oracle = service.oracle()
    service.sidecar.kill()
    points = (Failpoint.AFTER_PRODUCE, Failpoint.BEFORE_COMMIT, Failpoint.AFTER_COMMIT)
    wanted = []
    for number, point in enumerate(points):
        service.sidecar.start(environment={VARIABLE: f"{point.value}=kill"})
        for at in range(number * 100, number * 100 + 10):
            value = "'NaN'" if at % 3 == 0 else str(at)
            wanted += [str(at)] if at % 3 == 0 else []
            service.sql(f"INSERT INTO items VALUES ({at}, {value})")
        assert service.sidecar.await_exit() == -9, f"{point} was never reached"
    service.sidecar.start_and_stream()
    service.await_published()
    assert ids(parked(service)) == wanted
    good = [event for event in oracle.expected() if '"n": "NaN"' not in (event.after or "")]
    assert len(good) == 30 - len(wanted)
    assert [event.key for event in changes(service)] == [event.key for event in good]


def test_rows_of_a_snapshot_are_parked_and_the_table_is_complete(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLE + MARKS, **{'mode = "never"': 'mode = "initial"'})
    service.sql(
        *ITEMS,
        "INSERT INTO items SELECT k, CASE WHEN k % 100 = 0 THEN 'NaN'::numeric ELSE k END, 'x'"
        " FROM generate_series(1, 1000) AS k",
        f"UPDATE items SET label = {LARGE} WHERE id IN (5, 700)",
    )
    service.sidecar.start_and_stream()
    await_ended(service, 1)
    found = parked(service)
    assert sorted(map(int, ids(found))) == [5, *range(100, 1001, 100)]
    assert {event["op"] for event in found} == {"r"}
    errors = {event["key"]["id"]: event["error"]["code"] for event in found}
    assert (errors["5"], errors["700"]) == ("CDC-302", "CDC-301")
    sent = {json.loads(event.key)["id"] for event in changes(service)}
    assert len(sent) == 1000 - len(found)
    assert sent.isdisjoint(ids(found))
    assert service.sidecar.events("snapshot_failed") == []


MISFITS = (
    """INSERT INTO kept (id, aggregatetype, aggregateid, type, payload) VALUES
        (gen_random_uuid(), 't0', '0', 'Noted', '{"number": "no", "price": 1}')""",
    """INSERT INTO passing (id, aggregatetype, aggregateid, type, payload) VALUES
        (gen_random_uuid(), repeat('x', 250), '0', 'Moved', '{}')""",
    "SELECT pg_logical_emit_message(true, 'events', 'no JSON')",
)


def test_events_of_outboxes_are_parked_in_each_shape(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service, "on_error = 'park'")
    config = service.sidecar.config
    text = config.read_text().replace('prefix = "events"', 'prefix = "events"\non_error = "park"')
    config.write_text(
        text.replace('table = "public.passing"', 'table = "public.passing"\non_error = "park"')
    )
    service.sidecar.start_and_stream()
    service.sql(*MISFITS, MISFITS[0].replace('"no"', "1"))
    service.await_published()
    by_origin = {event["origin"]: event for event in parked(service)}
    assert {name: event["error"]["code"] for name, event in by_origin.items()} == {
        "public.kept": "CDC-307", "public.passing": "CDC-304", "events": "CDC-304",
    }  # fmt: skip
    assert by_origin["events"]["content"] == "no JSON"
    assert by_origin["public.kept"]["key"] == {"aggregateid": "0"}
    assert json.loads(by_origin["public.kept"]["after"]["payload"])["number"] == "no"
    metrics = service.sidecar.scrape()
    kept = 'event_type="Noted",table="public.kept"}'
    assert f"cdc_sidecar_outbox_parked_events_total{{{kept} 1.0" in metrics
    assert f"cdc_sidecar_outbox_events_total{{{kept} 1.0" in metrics
    assert f"cdc_sidecar_outbox_invalid_events_total{{{kept} 0.0" in metrics


def test_an_event_whose_topic_does_not_exist_is_parked_where_none_is_created(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service, "on_error = 'park'")
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    text = service.sidecar.config.read_text()
    service.sidecar.config.write_text(text.replace("create = true\npart", "create = false\npart"))
    service.sidecar.start_and_stream()
    service.sql(MISFITS[0].replace('"no"', "1"), MISFITS[0].replace('"no"', "2"))
    service.await_published()
    found = parked(service)
    assert [event["error"]["fact"] for event in found] == [
        f"topic out.{service.name}.t0 does not exist"
    ] * 2


def test_without_parking_the_hint_of_a_halt_names_it_and_works(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLE.replace('on_error = "park"\n', "") + MARKS)
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 'NaN')", "INSERT INTO items VALUES (2, 2)")
    assert service.sidecar.await_exit() == 3
    (halted,) = service.sidecar.events("sidecar_halted")
    assert 'or on_error = "park" to keep such rows' in halted["hint"]
    assert "in the block of public.items; then restart" in halted["hint"]
    service.reconfigure('"label"]\n', '"label"]\non_error = "park"\n')
    service.sidecar.start_and_stream()
    service.await_published()
    assert ids(parked(service)) == ["1"]
    assert [json.loads(event.key)["id"] for event in changes(service)] == ["2"]


@pytest.mark.parametrize(
    ("setting", "value", "fact"),
    [
        ("cleanup.policy", "compact", "a topic of parked events is compacted"),
        ("cleanup.policy", "compact,delete", "a topic of parked events is compacted"),
        ("max.message.bytes", "9000", "a topic of parked events takes less than"),
    ],
)
def test_a_topic_that_would_lose_parked_events_is_refused(
    make_service: Callable[..., Service], setting: str, value: str, fact: str
) -> None:
    service = make_service(TABLE + MARKS)
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    alter(service, setting, value)
    done = service.sidecar.run("check")
    assert done.returncode == 1
    assert fact in done.stdout
    service.sidecar.start()
    assert service.sidecar.await_exit() in (2, 3)


def alter(service: Service, setting: str, value: str) -> None:
    """Change a setting of the topic of parked events."""
    set_topic(service.kafka, f"{service.name}.public.items.parked", setting, value)

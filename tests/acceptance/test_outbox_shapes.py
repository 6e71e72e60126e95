"""Outboxes of all three shapes at once: each event once, in commit order, whatever is killed."""

import json
from collections.abc import Callable

from cdc_sidecar.failpoints import VARIABLE, Failpoint
from tests.acceptance.conftest import Service
from tests.acceptance.outboxes import SCHEMA, Writer, configure, expected, received
from tests.acceptance.test_exactly_once import OF_HANGING, OF_OUTBOXES, OF_SNAPSHOTS
from tests.effort import chance

_FIRST_START = {
    Failpoint.AFTER_TOPICS_CREATED,
    Failpoint.AFTER_SLOT_INTENT,
    Failpoint.AFTER_SLOT_CREATED,
}
_ELSEWHERE = OF_SNAPSHOTS | OF_OUTBOXES | OF_HANGING | _FIRST_START
_POINTS = [point for point in Failpoint if point not in _ELSEWHERE]


def test_events_of_all_shapes_are_sent_once_in_commit_order_though_the_sidecar_is_killed(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service)
    writer = Writer(service.dsn, chance("shapes"))
    service.sidecar.start_and_stream()
    service.await_published()
    service.sidecar.kill()
    for point in _POINTS:
        service.sidecar.start(environment={VARIABLE: f"{point.value}=kill"})
        writer.write()
        assert service.sidecar.await_exit() == -9, f"{point} was never reached"
    service.sidecar.start_and_stream()
    writer.write()
    service.await_published()
    assert received(service) == expected(writer.sent)
    assert service.sidecar.terminate() == 0


def test_two_versions_of_an_event_type_are_sent_side_by_side(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service)
    folder, config = service.sidecar.config.parent, service.sidecar.config
    newer = {
        **SCHEMA,
        "fields": [*SCHEMA["fields"], {"name": "by", "type": "string", "default": ""}],
    }
    (folder / "noted2.avsc").write_text(json.dumps(newer))
    config.write_text(config.read_text() + '[outboxes.events."Noted.v2"]\nschema = "noted2.avsc"\n')
    service.sidecar.start_and_stream()
    emit = "SELECT pg_logical_emit_message(true, 'events', '{}')"
    message = {"id": "1", "aggregatetype": "t0", "aggregateid": "0", "type": "Noted"}
    old = message | {"payload": {"number": 1, "price": 1.5}}
    new = message | {"type": "Noted.v2", "payload": {"number": 2, "price": 2.5, "by": "me"}}
    service.sql(emit.format(json.dumps(old)), emit.format(json.dumps(new)))
    service.await_published()
    assert received(service) == {("t0", "0"): [1, 2]}
    code, body = service.sidecar.get("/subjects/com.example.Noted/versions")
    assert (code, json.loads(body)) == (200, [1, 2])
    line = service.sidecar.run("tail", "events", "--from-beginning", "--limit", "2").stdout
    values = [json.loads(shown)["value"] for shown in line.splitlines()]
    assert values == [
        {"number": 1, "price": "1.50"},
        {"number": 2, "price": "2.50", "by": "me"},
    ]
    metrics = service.sidecar.scrape()
    assert 'cdc_sidecar_outbox_events_total{event_type="Noted.v2",table="events"} 1.0' in metrics
    assert 'cdc_sidecar_outbox_lag_seconds{event_type="Noted",table="events"}' in metrics


def test_a_payload_that_does_not_fit_halts_and_is_counted(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("[shutdown]\non_halt = 'stay'\n")
    configure(service)
    service.sidecar.start_and_stream()
    row = """INSERT INTO kept (id, aggregatetype, aggregateid, type, payload) VALUES
        (gen_random_uuid(), 't0', '0', 'Noted', '{"number": "secret", "price": 1}')"""
    service.sql(row)
    service.sidecar.await_phase("halted")
    (halt,) = service.sidecar.events("sidecar_halted")
    fact = "$.number is a string, but the schema has long"
    assert (halt["code"], halt["fact"]) == ("CDC-307", fact)
    assert "secret" not in service.sidecar.log_text()
    metrics = service.sidecar.scrape()
    invalid = 'cdc_sidecar_outbox_invalid_events_total{event_type="Noted",table="public.kept"} 1.0'
    assert invalid in metrics

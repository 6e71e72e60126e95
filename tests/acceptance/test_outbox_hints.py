"""The hints of CDC-307, CDC-308 and CDC-513 are followed, and the sidecar runs afterwards."""

import json
from collections.abc import Callable

import psycopg

from tests.acceptance.conftest import Service
from tests.acceptance.following import follow
from tests.acceptance.outboxes import SCHEMA, configure
from tests.acceptance.own_postgres import halt_of
from tests.acceptance.test_check import faults_of

_ROW = """INSERT INTO kept (id, aggregatetype, aggregateid, type, payload)
VALUES (gen_random_uuid(), 't0', '0', '{}', '{}')"""


def _made(make_service: Callable[..., Service]) -> Service:
    service = make_service("")
    configure(service)
    service.sidecar.start_and_stream()
    service.await_published()
    return service


def _write_schema(service: Service, *fields: dict[str, object]) -> None:
    schema = {**SCHEMA, "fields": [*SCHEMA["fields"], *fields]}
    (service.sidecar.config.parent / "noted.avsc").write_text(json.dumps(schema))


def test_after_the_schema_is_corrected_an_event_that_did_not_fit_is_sent(
    make_service: Callable[..., Service],
) -> None:
    service = _made(make_service)
    service.sql(_ROW.format("Noted", '{"number": 1, "price": 1, "by": "me"}'))
    halt = halt_of(service.sidecar)
    assert (halt["code"], halt["fact"].split(" ")[0]) == ("CDC-307", "$.by")
    assert 'correct the schema in [outboxes.events."Noted"]' in halt["hint"]
    _write_schema(service, {"name": "by", "type": "string", "default": ""})
    service.sidecar.start_and_stream()
    service.await_published()


def test_after_the_schema_of_an_unknown_event_type_is_added_it_is_sent(
    make_service: Callable[..., Service],
) -> None:
    service = _made(make_service)
    service.sql(_ROW.format("Moved", "{}"))
    halt = halt_of(service.sidecar)
    assert (halt["code"], halt["fact"]) == ("CDC-307", "event type Moved has no schema")
    assert 'add [outboxes.events."Moved"] with its schema, and restart' in halt["hint"]
    moved = service.sidecar.config.parent / "moved.avsc"
    moved.write_text('{"type": "record", "name": "Moved", "fields": []}')
    block = '[outboxes.events."Moved"]\nschema = "moved.avsc"\n'
    text = service.sidecar.config.read_text()
    service.sidecar.config.write_text(
        text.replace("[outboxes", f"{block}[outboxes", 2).replace(block, "", 1)
    )
    service.sidecar.start_and_stream()
    service.await_published()


def test_a_schema_that_cannot_follow_is_refused_by_check_and_run_until_it_is_allowed(
    make_service: Callable[..., Service],
) -> None:
    service = _made(make_service)
    assert service.sidecar.terminate() == 0
    _write_schema(service, {"name": "by", "type": "string"})
    (fault,) = faults_of(service)
    assert fault["code"] == "CDC-308"
    assert "com.example.Noted cannot follow its version 1" in fault["fact"]
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-308"
    assert 'compatibility = "none"' in halt["hint"]
    allowed = 'schema = "noted.avsc"\ncompatibility = "none"\n'
    service.reconfigure('schema = "noted.avsc"\n', allowed)
    service.sidecar.start_and_stream()
    assert json.loads(service.sidecar.get("/subjects/com.example.Noted/versions")[1]) == [1, 2]


def test_after_the_sidecar_has_started_an_outbox_can_be_pruned(
    make_service: Callable[..., Service],
) -> None:
    service = _made(make_service)
    assert service.sidecar.terminate() == 0
    service.sql(_ROW.format("Noted", '{"number": 1, "price": 1}'))
    prune = ("outbox prune", "public.kept", "--older-than", "0s")
    refused = service.sidecar.run(*prune, "--timeout", "0")
    assert "CDC-513" in refused.stderr
    assert "start the sidecar, wait until `cdc-sidecar status` shows no lag" in refused.stderr
    service.sidecar.start_and_stream()
    service.await_published()
    assert service.sidecar.run(*prune).stdout == "public.kept: 1 row removed\n"


def test_check_names_the_privilege_that_pruning_lacks(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service, 'prune = "1h"')
    role = f"role_{service.name}"
    service.sql(
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'x'",
        f"GRANT SELECT ON kept, passing TO {role}",
    )
    words = psycopg.conninfo.conninfo_to_dict(service.dsn) | {"user": role, "password": "x"}
    service.reconfigure(service.dsn, psycopg.conninfo.make_conninfo("", **words))
    (fault,) = faults_of(service)
    assert fault["code"] == "CDC-209"
    assert "GRANT SELECT, DELETE ON public.kept TO" in fault["hint"]
    lacks = service.sidecar.run("setup-sql", "--diff").stdout
    assert f"GRANT DELETE ON public.kept TO {role};" in lacks
    follow(service, fault)
    assert faults_of(service) == []
    service.sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_all_schemas_that_are_wrong_are_reported_at_once(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service)
    folder = service.sidecar.config.parent
    (folder / "noted.avsc").write_text('{"type": "record", "name": "Noted"}')
    refused = service.sidecar.run("check")
    assert refused.returncode == 2
    assert refused.stdout.count("events.Noted.schema") == 2
    (folder / "noted.avsc").unlink()
    missing = service.sidecar.run("check")
    assert missing.stdout.count("noted.avsc does not exist") == 2

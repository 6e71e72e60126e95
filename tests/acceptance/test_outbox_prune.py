"""Rows of an outbox are removed once they are published, and never before."""

import json
from collections.abc import Callable

from cdc_sidecar.failpoints import VARIABLE, Failpoint
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.brokers import timed
from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.outboxes import Writer, configure, expected, received
from tests.acceptance.own_postgres import ask, frozen
from tests.effort import chance
from tests.waiting import await_true

_PARTITIONED = """
CREATE TABLE outbox (id uuid NOT NULL, aggregatetype text NOT NULL, aggregateid text NOT NULL,
    type text NOT NULL, payload jsonb, at timestamptz NOT NULL DEFAULT now())
    PARTITION BY RANGE (at);
CREATE TABLE outbox_old PARTITION OF outbox FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE outbox_new PARTITION OF outbox FOR VALUES FROM ('2020-02-01') TO ('2100-01-01');
ALTER TABLE outbox REPLICA IDENTITY FULL;
ALTER TABLE outbox_old REPLICA IDENTITY FULL;
ALTER TABLE outbox_new REPLICA IDENTITY FULL;
CREATE PUBLICATION cdc FOR TABLE outbox WITH (publish_via_partition_root)
"""
_EVENT = "(gen_random_uuid(), '{}', '1', 'Noted', '{{}}', {})"
_SOON = "now() + interval '30 minutes'"


def _rows(service: Service, table: str = "kept") -> int:
    return int(str(ask(service.dsn, f"SELECT count(*) FROM {table}")))


def _await_empty(service: Service, table: str = "kept") -> None:
    await_true(lambda: _rows(service, table) == 0, what=f"{table} is empty")


def test_rows_are_removed_after_their_publication_and_not_while_kafka_is_away(
    make_service: Callable[..., Service], kafka: KafkaBroker
) -> None:
    service = make_service("")
    configure(service, 'prune = "1s"')
    writer = Writer(service.dsn, chance("prune"))
    service.sidecar.start_and_stream()
    writer.write()
    _await_empty(service)
    service.await_published()
    with frozen(kafka.pid):
        writer.write()
        held = _rows(service)
        looked = _prunes(service)
        await_true(lambda: _prunes(service) > looked + 3, what="three turns of the pruner")
        assert _rows(service) == held > 0
    _await_empty(service)
    assert received(service) == expected(writer.sent)
    metrics = service.sidecar.scrape()
    assert 'cdc_sidecar_outbox_pruned_rows_total{table="public.kept"}' in metrics


def _prunes(service: Service) -> int:
    """Return how often the table was looked at: each batch of a turn and each mark is a query."""
    query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    return int(str(ask(service.dsn, query)))


def test_a_sidecar_killed_while_it_removes_rows_loses_none(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service, 'prune = "1s"')
    writer = Writer(service.dsn, chance("killed"))
    service.sidecar.start(environment={VARIABLE: f"{Failpoint.AFTER_PRUNED_BATCH.value}=kill"})
    service.sidecar.await_phase("streaming")
    writer.write(12)
    assert service.sidecar.await_exit() == -9
    service.sidecar.start_and_stream()
    writer.write()
    _await_empty(service)
    service.await_published()
    assert received(service) == expected(writer.sent)


def test_whole_partitions_whose_time_is_over_are_dropped(
    make_service: Callable[..., Service],
) -> None:
    outbox = (
        '[[outboxes]]\ntable = "public.outbox"\nprune = "1s"\ntopic = "{name}.{aggregatetype}"\n'
    )
    service = make_service("")
    with service.sidecar.config.open("a") as config:
        config.write(MARKS + outbox.replace("{name}", service.name))
        config.write('[outboxes.columns]\ntimestamp = "at"\n')
    service.sql(_PARTITIONED)
    service.sidecar.start_and_stream()
    old, new = _EVENT.format("t0", "'2020-01-15'"), _EVENT.format("t1", "now()")
    service.sql(f"INSERT INTO outbox VALUES {old}, {new}, {_EVENT.format('t1', _SOON)}")
    gone = "SELECT to_regclass('outbox_old')::text"
    await_true(lambda: ask(service.dsn, gone) is None, what="the old partition is dropped")
    await_true(lambda: _rows(service, "outbox") == 1, what="the row of the future alone is left")
    service.sql(f"INSERT INTO outbox VALUES {new}")
    service.await_published()
    await_true(lambda: service.sidecar.events("outbox_partitions_dropped"), what="the log says it")
    assert service.sidecar.terminate() == 0
    service.sidecar.start_and_stream()


def test_commands_show_the_outbox_and_remove_what_is_published(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service)
    service.sql("ALTER TABLE kept ADD COLUMN at timestamptz DEFAULT now()")
    writer = Writer(service.dsn, chance("commands"))
    service.sidecar.start_and_stream()
    writer.write()
    service.await_published()
    held = _rows(service)
    sidecar = service.sidecar
    (state, _) = json.loads(sidecar.run("outbox status", "--json").stdout)
    assert (state["table"], state["rows"]) == ("public.kept", held)
    assert "public.passing: 0 rows" in sidecar.run("outbox status").stdout
    refused = sidecar.run("outbox prune", "--older-than", "1h")
    assert refused.returncode == 2
    assert "CDC-513" in refused.stderr
    assert "nothing shows how old the rows of public.kept are" in refused.stderr
    service.reconfigure(
        "[outboxes.events.Noted]", "columns = { timestamp = 'at' }\n[outboxes.events.Noted]"
    )
    removed = sidecar.run("outbox prune", "public.kept", "--older-than", "1h").stdout
    assert removed == "public.kept: 0 rows removed\n"
    service.sql("UPDATE kept SET at = now() - interval '2 hours'")
    service.await_published()
    removed = sidecar.run("outbox prune", "public.kept", "--older-than", "1h").stdout
    assert removed == f"public.kept: {held} rows removed\n"
    with timed("pruning an empty outbox"):
        assert sidecar.run("outbox prune", "--older-than", "0s").returncode == 0
    assert received(service) == expected(writer.sent)


def test_rows_from_before_the_sidecar_are_kept(make_service: Callable[..., Service]) -> None:
    service = make_service("")
    configure(service, 'prune = "1s"')
    Writer(service.dsn, chance("early")).write(2)
    held = _rows(service)
    service.sidecar.start_and_stream()
    writer = Writer(service.dsn, chance("later"))
    writer.write()
    await_true(lambda: _rows(service) == held, what="only the rows from before are left")
    service.await_published()
    assert received(service) == expected(writer.sent)
    assert service.sidecar.run("outbox prune", "--older-than", "0s").returncode == 0
    assert _rows(service) == held > 0


def test_nothing_is_removed_behind_a_slot_that_was_advanced(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service)
    service.sidecar.start_and_stream()
    service.await_published()
    assert service.sidecar.terminate() == 0
    Writer(service.dsn, chance("gap")).write()
    held = _rows(service)
    slot = f"{service.name}_cdc"
    service.sql(f"SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
    refused = service.sidecar.run("outbox prune", "--older-than", "0s", "--timeout", "1")
    assert "CDC-504" in refused.stderr
    assert _rows(service) == held > 0


def test_nothing_is_removed_if_it_may_not_be_published(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service)
    sidecar = service.sidecar
    never = sidecar.run("outbox prune", "--older-than", "0s")
    assert "CDC-513 outbox cannot be pruned: nothing of this database is published" in never.stderr
    sidecar.start_and_stream()
    service.await_published()
    assert sidecar.terminate() == 0
    writer = Writer(service.dsn, chance("down"))
    writer.write()
    held = _rows(service)
    down = sidecar.run("outbox prune", "--older-than", "0s", "--timeout", "0.2")
    assert down.returncode == 2
    assert "rows may not be published yet" in down.stderr
    assert _rows(service) == held
    sidecar.start_and_stream()
    assert sidecar.run("outbox prune", "--older-than", "0s").returncode == 0
    assert _rows(service) == 0
    assert received(service) == expected(writer.sent)

"""Snapshots while commits hang in synchronous replication: in the stream, but not to be seen."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.acceptance.conftest import MARKS, TABLES, Service, Services
from tests.acceptance.own_postgres import ask
from tests.acceptance.snapshot_oracle import assert_snapshot, count_rows
from tests.acceptance.stalled import (
    ROWS,
    SEEN,
    SLOW,
    UNSEEN,
    StallingPostgres,
    await_completed,
    phase_of,
    prepare,
    read_past_unseen_changes,
    restart_behind_unseen_changes,
    stalling_postgres,
    start_reading,
)
from tests.acceptance.test_snapshot_storm import NOISE, writers
from tests.effort import LONG, chance
from tests.waiting import await_true


@pytest.fixture(scope="module")
def stalling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StallingPostgres]:
    """Give a server whose commits can be made to hang."""
    with stalling_postgres(tmp_path_factory.mktemp("wal")) as server:
        yield server


@pytest.mark.parametrize("large", [False, True], ids=["by pages", "by key"])
def test_rows_whose_changes_nobody_sees_are_not_sent_as_they_were(
    services: Services, stalling: StallingPostgres, *, large: bool
) -> None:
    assert int(str(ask(stalling.server.dsn(), "SELECT pg_current_xact_id()"))) > 3 << 32
    service = services(stalling.server, f"unseen_{large}".lower(), TABLES + MARKS + SLOW)
    oracle = prepare(service, large=large)
    read_past_unseen_changes(service, stalling)
    seen = assert_snapshot(service, oracle, "items")
    rows = len([event for event in seen if event.op == "r"])
    assert rows == ROWS if large else SEEN <= rows < ROWS


_QUICK = SLOW.replace("150", "400")
_PREPARED = (f"BEGIN; {UNSEEN}; PREPARE TRANSACTION 'hanging'", "COMMIT PREPARED 'hanging'")


@pytest.mark.parametrize("statements", [(UNSEEN,), _PREPARED], ids=["commit", "commit prepared"])
def test_a_sidecar_that_starts_again_waits_until_all_that_it_has_published_is_seen(
    services: Services, stalling: StallingPostgres, statements: tuple[str, ...]
) -> None:
    service = services(stalling.server, f"fence_{len(statements)}", TABLES + MARKS + SLOW)
    oracle = prepare(service, large=True)
    with restart_behind_unseen_changes(service, stalling, *statements):
        await_true(lambda: service.sidecar.events("snapshot_waits"), what="it waits")
        assert not count_rows(service)
    (waits,) = service.sidecar.events("snapshot_waits")
    assert waits["reason"] == "fence"
    (whom,) = waits["whom"]
    assert "of postgres" in whom
    assert ("prepared transaction hanging" in whom) == (len(statements) > 1)
    assert_snapshot(service, oracle, "items")


def test_transactions_that_have_not_begun_to_commit_hold_up_nothing(
    services: Services, stalling: StallingPostgres
) -> None:
    service = services(stalling.server, "idle_writer", TABLES + MARKS + SLOW)
    oracle = prepare(service, large=True)
    service.reconfigure('mode = "initial"', 'mode = "never"')
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    service.reconfigure('mode = "never"', 'mode = "initial"')
    with psycopg.connect(service.dsn) as idle:
        idle.execute("UPDATE items SET n = 0 WHERE id < 50")
        service.sql("BEGIN; DELETE FROM items WHERE id > 350; PREPARE TRANSACTION 'open'")
        service.sidecar.start_and_stream()
        await_completed(service)
        assert not service.sidecar.events("snapshot_waits")
        idle.commit()
    service.sql("ROLLBACK PREPARED 'open'")
    service.await_published()
    seen = assert_snapshot(service, oracle, "items")
    assert len([event for event in seen if event.op == "r"]) == ROWS


@pytest.mark.parametrize("large", (True, False) if LONG else (True,))
def test_rows_are_right_at_their_place_while_commits_hang_and_sidecars_die(
    services: Services, stalling: StallingPostgres, *, large: bool
) -> None:
    service = services(stalling.server, f"storm_{large}".lower(), TABLES + MARKS + _QUICK)
    oracle = prepare(service, large=large)
    label = NOISE if large else "'x' || {id}"
    service.sql(
        "TRUNCATE items",
        "ALTER TABLE items SET (toast_tuple_target = 128)",
        f"INSERT INTO items SELECT n, n, {label.format(id='n')} FROM generate_series(1, 3000) n",
    )
    waiting = make_conninfo(service.dsn, options="-c synchronous_commit=on")
    with writers(replace(service, dsn=waiting), chance(large), label) as busy:
        start_reading(service)
        for kill in (False, True) * 3:
            with stalling.frozen(service, len(busy)):
                _await_read(service, count_rows(service) + 100)
                if kill:
                    service.sidecar.kill()
                    service.sidecar.start()
            service.sidecar.await_phase("streaming", deadline=60)
            _await_read(service, 1)  # until then, it waits for commits that hang
        await_completed(service)
    service.await_published()
    assert_snapshot(service, oracle, "items")


def _await_read(service: Service, rows: float) -> None:
    await_true(
        lambda: count_rows(service) >= rows or phase_of(service) in {"read", "done"},
        what="rows are read",
    )

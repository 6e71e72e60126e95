"""With one rule of snapshots switched off, the comparison with the oracle fails."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import MARKS, TABLES, Service, Services
from tests.acceptance.events import Oracle
from tests.acceptance.sabotage import Rule, program
from tests.acceptance.snapshot_oracle import assert_snapshot
from tests.acceptance.stalled import (
    SLOW,
    UNSEEN,
    StallingPostgres,
    await_completed,
    prepare,
    read_past_unseen_changes,
    restart_behind_unseen_changes,
    stalling_postgres,
    start_reading,
)
from tests.waiting import await_true


@pytest.fixture(scope="module")
def stalling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StallingPostgres]:
    """Give a server whose commits can be made to hang."""
    with stalling_postgres(tmp_path_factory.mktemp("wal")) as server:
        yield server


def _make(
    services: Services, stalling: StallingPostgres, rule: Rule, *, large: bool
) -> tuple[Service, Oracle]:
    name = f"without_{rule.name.lower()}"
    service = services(stalling.server, name, TABLES + MARKS + SLOW)
    service.sidecar.program = program(rule)
    return service, prepare(service, large=large)


def _assert_wrong(service: Service, oracle: Oracle, match: str) -> None:
    with pytest.raises(AssertionError, match=match):
        assert_snapshot(service, oracle, "items")


def test_without_a_look_at_unseen_changes_rows_are_sent_as_they_were(
    services: Services, stalling: StallingPostgres
) -> None:
    service, oracle = _make(services, stalling, Rule.UNSEEN, large=False)
    read_past_unseen_changes(service, stalling)
    _assert_wrong(service, oracle, "op='r'")


def test_without_filling_and_owing_large_values_are_lost(
    services: Services, stalling: StallingPostgres
) -> None:
    service, oracle = _make(services, stalling, Rule.FILL_OR_OWE, large=True)
    read_past_unseen_changes(service, stalling)
    _assert_wrong(service, oracle, "unchanged=frozenset.{'label'}")


def test_without_the_fence_rows_are_sent_as_they_were(
    services: Services, stalling: StallingPostgres
) -> None:
    service, oracle = _make(services, stalling, Rule.FENCE, large=False)
    with restart_behind_unseen_changes(service, stalling, UNSEEN):
        await_true(lambda: service.sidecar.events("snapshot_completed"), what="it is complete")
    _assert_wrong(service, oracle, "op='r'")


_FREE_AT_THE_BEGINNING = (
    "ALTER TABLE items ADD filler text",
    "UPDATE items SET filler = repeat('f', 400)",
    "VACUUM FULL items",
    "DELETE FROM items WHERE id <= 100",
    "VACUUM items",
)


def test_by_pages_large_values_of_rows_that_move_are_lost(
    services: Services, stalling: StallingPostgres
) -> None:
    service, oracle = _make(services, stalling, Rule.BY_KEY, large=True)
    service.sql(*_FREE_AT_THE_BEGINNING)
    start_reading(service)
    service.sidecar.kill()
    service.sql("UPDATE items SET n = n + 1000 WHERE id > 300")
    service.sidecar.start_and_stream()
    await_completed(service)
    _assert_wrong(service, oracle, "unchanged=frozenset.{'label'}")


def test_pages_of_a_rewritten_table_have_other_rows(
    services: Services, stalling: StallingPostgres
) -> None:
    service, oracle = _make(services, stalling, Rule.BEGIN_AGAIN, large=False)
    start_reading(service)
    service.sidecar.kill()
    service.sql("DELETE FROM items WHERE id <= 150", "VACUUM FULL items")
    service.sidecar.start_and_stream()
    await_completed(service)
    _assert_wrong(service, oracle, "items: ")


def test_without_a_lock_rows_come_after_their_truncate(
    services: Services, stalling: StallingPostgres
) -> None:
    service, oracle = _make(services, stalling, Rule.LOCK, large=True)
    start_reading(service, "after_chunk_read#2=delay")
    service.sql("TRUNCATE items")
    await_completed(service)
    _assert_wrong(service, oracle, "op='r'")

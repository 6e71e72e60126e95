"""Changes that the server left out without a word are noticed in the catalog (CDC-508)."""

from collections.abc import Callable

import pytest

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import halt_of, published_ids

_TABLE = "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)"
_NOTICED = 30  # seconds: three times the interval of the guardian
_LOST = "INSERT INTO items VALUES (2, 2, 'b')"
_NARROW = "ALTER PUBLICATION cdc SET (publish = '{}')"


def _started(service: Service, publication: str) -> None:
    service.sql(_TABLE, f"CREATE PUBLICATION cdc {publication}")
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()


_GAPS = {
    "taken out": (
        "FOR TABLE items",
        ("ALTER PUBLICATION cdc DROP TABLE items", _LOST, "ALTER PUBLICATION cdc ADD TABLE items"),
        "taken out of the publication",
    ),
    "narrowed": (
        "FOR ALL TABLES",
        (_NARROW.format("update"), _LOST, _NARROW.format("insert, update, delete, truncate")),
        "the publication was altered",
    ),
    "unlogged": (
        "FOR ALL TABLES",
        ("ALTER TABLE items SET UNLOGGED", _LOST, "ALTER TABLE items SET LOGGED"),
        "SET UNLOGGED",
    ),
}


def test_a_partition_that_was_detached_for_a_while_leaves_a_gap(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS)
    service.sql(
        f"{_TABLE} PARTITION BY RANGE (id)",
        "CREATE TABLE leaf PARTITION OF items FOR VALUES FROM (0) TO (9)",
        "CREATE PUBLICATION cdc FOR TABLE items WITH (publish_via_partition_root)",
    )
    service.sidecar.start_and_stream()
    assert service.sidecar.terminate() == 0
    service.sql(
        "ALTER TABLE items DETACH PARTITION leaf",
        "INSERT INTO leaf VALUES (2, 2, 'b')",
        "ALTER TABLE items ATTACH PARTITION leaf FOR VALUES FROM (0) TO (9)",
    )
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert (halt["code"], "detached" in halt["fact"]) == ("CDC-508", True)


@pytest.mark.parametrize("gap", _GAPS)
def test_a_gap_while_the_sidecar_is_down_halts_it_until_it_is_accepted(
    make_service: Callable[..., Service], gap: str
) -> None:
    publication, statements, reason = _GAPS[gap]
    service = make_service(TABLES + MARKS)
    _started(service, publication)
    assert service.sidecar.terminate() == 0
    service.sql(*statements)
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-508"
    assert reason in halt["fact"]
    assert "CDC-508" in service.sidecar.run("check").stdout
    assert "dry run" in service.sidecar.run("position accept-gap").stdout
    accepted = service.sidecar.run("position accept-gap", "--yes")
    assert (accepted.returncode, "accepted" in accepted.stdout) == (0, True)
    assert service.sidecar.run("position accept-gap", "--yes").returncode == 1
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (3, 3, 'c')")
    service.await_published()
    assert published_ids(service) == [1, 3]


def test_a_gap_while_it_runs_is_noticed_soon(make_service: Callable[..., Service]) -> None:
    service = make_service(TABLES + MARKS)
    _started(service, "FOR TABLE items")
    service.sql("ALTER PUBLICATION cdc DROP TABLE items", "ALTER PUBLICATION cdc ADD TABLE items")
    assert halt_of(service.sidecar, deadline=_NOTICED)["code"] == "CDC-508"


def test_what_leaves_nothing_out_is_no_gap(make_service: Callable[..., Service]) -> None:
    service = make_service(TABLES + MARKS)
    _started(service, "FOR ALL TABLES")
    assert service.sidecar.terminate() == 0
    service.sql(
        "VACUUM FULL items",
        "CLUSTER items USING items_pkey",
        "ALTER TABLE items ADD stamp timestamptz DEFAULT clock_timestamp()",
        "TRUNCATE items",
        "ANALYZE items",
        "REINDEX TABLE items",
    )
    service.sidecar.start_and_stream()
    service.await_published()
    assert not service.sidecar.events("sidecar_halted")


def test_another_column_list_is_no_gap(make_service: Callable[..., Service]) -> None:
    service = make_service(TABLES + MARKS)
    _started(service, "FOR TABLE items (id, n)")
    service.sql("ALTER PUBLICATION cdc SET TABLE items (id, n, label)")
    service.sql("INSERT INTO items VALUES (2, 2, 'b')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (3, 3, 'c')")
    service.await_published()
    assert published_ids(service) == [1, 2, 3]

"""A table that cannot be read is named, and holds up neither the others nor the stream."""

import secrets
from collections.abc import Callable

import psycopg
import pytest

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.snapshot_kinds import INITIAL, KINDS, Kind, await_ended, blocks, create, fill
from tests.acceptance.snapshot_oracle import Compared, assert_snapshots, read_seen

_REFUSED = {
    "hidden": Kind("id int PRIMARY KEY, n int"),
    "guarded": Kind("id int PRIMARY KEY, n int", more="ALTER TABLE {} ENABLE ROW LEVEL SECURITY"),
    "huge": Kind("id int PRIMARY KEY, n int, label text", "n, n, repeat('x', 1200000 * (n / 50))",
                 count=60),
    "plain": Kind("id int PRIMARY KEY, n int"),
}  # fmt: skip
_MENDED = (
    "GRANT SELECT ON hidden TO {role}",
    "ALTER TABLE guarded DISABLE ROW LEVEL SECURITY",
    "UPDATE huge SET label = 'small'",
)


@pytest.fixture
def role(postgres: PostgresServer) -> str:
    """Return a role that may replicate, and nothing else yet."""
    name = f"role_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN REPLICATION".encode())
    return name


def test_a_table_that_cannot_be_read_is_named_and_holds_up_nothing(
    make_service: Callable[..., Service], role: str
) -> None:
    service = make_service(blocks(_REFUSED) + MARKS, **INITIAL)
    create(service, _REFUSED)
    oracle = service.oracle()
    fill(service, _REFUSED)
    service.sql(f"GRANT SELECT ON guarded, huge, plain TO {role}")
    service.reconfigure("user=postgres", f"user={role}")
    service.sidecar.start_and_stream()
    await_ended(service, 4)
    failed = {event["table"]: event["error"] for event in service.sidecar.events("snapshot_failed")}
    assert failed.keys() == {f"public.{name}" for name in _REFUSED if name != "plain"}
    assert "permission denied for table hidden" in failed["public.hidden"]
    assert "row-level security" in failed["public.guarded"]
    assert "bytes" in failed["public.huge"]
    for name in _REFUSED:
        service.sql(f"UPDATE {name} SET n = n + 1 WHERE id < 9")
    service.await_published()
    found = read_seen(service, *(Compared(name) for name in _REFUSED))
    assert all(len([event for event in seen if event.op == "u"]) == 8 for seen in found)
    service.sql(*(statement.format(role=role) for statement in _MENDED))
    assert service.sidecar.terminate() == 0
    service.sidecar.start_and_stream()
    await_ended(service, 7)
    assert len(service.sidecar.events("snapshot_failed")) == 3, "all were mended"
    service.await_published()
    assert_snapshots(service, oracle, *(Compared(name) for name in _REFUSED))


_VAST = {
    "vast": Kind("id int PRIMARY KEY, n int, label text", "n, n, repeat('x', 200000000 * (n / 3))",
                 count=3),
    "plain": KINDS["plain"],
}  # fmt: skip


def test_a_row_of_200_megabytes_fails_its_table_alone_and_without_it_the_table_is_sent(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(blocks({}) + MARKS, **INITIAL)
    create(service, _VAST)
    oracle = service.oracle()
    fill(service, _VAST)
    service.sidecar.start_and_stream()
    await_ended(service, 2)
    (failed,) = service.sidecar.events("snapshot_failed")
    assert failed["table"] == "public.vast"
    assert "CDC-302: 2000002" in failed["error"]
    assert [event["table"] for event in service.sidecar.events("snapshot_completed")] == [
        "public.plain"
    ]
    service.sql("DELETE FROM vast WHERE id = 3", "UPDATE vast SET n = 7")
    service.await_published()
    restarted = service.sidecar.run("snapshot start public.vast")
    assert restarted.returncode == 0, restarted.stderr
    await_ended(service, 3)
    service.await_published()
    assert_snapshots(service, oracle, Compared("vast"), Compared("plain"))


_DIVIDED = {
    "divided": Kind("id int PRIMARY KEY, n int", "n - 1, n", published="{} WHERE (9 / id < 99)"),
    "plain": KINDS["plain"],
}


def test_a_row_filter_that_fails_on_an_old_row_holds_up_no_other_table(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(blocks({}) + MARKS, **INITIAL)
    create(service, _DIVIDED)
    fill(service, _DIVIDED)
    service.sidecar.start_and_stream()
    await_ended(service, 2)
    (failed,) = service.sidecar.events("snapshot_failed")
    assert failed["table"] == "public.divided"
    assert "division by zero" in failed["error"]
    assert service.sidecar.events("snapshot_completed")[0]["rows"] == 200

"""What Postgres refuses names its setting; a replaced secret needs no restart."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cdc_sidecar.servers.host import server_user
from cdc_sidecar.servers.postgres import PostgresServer, Setting
from cdc_sidecar.servers.postgres_installation import installed_postgres
from tests.acceptance.certificates import write_self_signed
from tests.acceptance.conftest import MARKS, TABLES, Service, Services
from tests.acceptance.own_postgres import ITEMS, halt_of
from tests.waiting import await_true

_WITH_TLS = installed_postgres().get(15)
"""The programs of a server that has TLS; the one from the package registry has none."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the certificates of the server and of a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "stranger"):
        write_self_signed(folder, name)
    return folder


@pytest.fixture(scope="module")
def strict(folder: Path) -> Iterator[PostgresServer]:
    """Yield a server with TLS and two slots that asks user cdc for a password."""
    settings: dict[str, Setting] = {"max_replication_slots": 2}
    with PostgresServer(fsync=False, settings=settings, bin_folder=_WITH_TLS) as server:
        _copy_certificate(folder, server.data_folder)
        rules = server.data_folder / "pg_hba.conf"
        rules.write_text("host all cdc all scram-sha-256\n" + rules.read_text())
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            if _WITH_TLS:
                admin.execute("ALTER SYSTEM SET ssl = on")
            admin.execute("CREATE ROLE cdc SUPERUSER LOGIN PASSWORD 'right'")
            admin.execute("SELECT pg_reload_conf()")
        yield server


def _copy_certificate(folder: Path, data: Path) -> None:
    """Put key and certificate where the server looks for them."""
    user = server_user()
    for ending in ("key", "crt"):
        path = data / f"server.{ending}"
        path.write_text((folder / f"server.{ending}").read_text())
        path.chmod(0o600)
        if user is not None:
            os.chown(path, user, user)


def _service(services: Services, server: PostgresServer, folder: Path, name: str) -> Service:
    """Return a service whose password and authority are files in `folder`."""
    password = f'password = {{ file = "{folder}/password" }}\n'
    service = services(
        server,
        name,
        TABLES + MARKS,
        host="127.0.0.1",
        user="cdc",
        **({"sslmode": "verify-ca", "sslrootcert": f"{folder}/ca.crt"} if _WITH_TLS else {}),
    )
    config = service.sidecar.config
    config.write_text(config.read_text().replace("[kafka]", f"{password}\n[kafka]", 1))
    return service


def _await_refusal(service: Service, fact: str, times: int = 1) -> None:
    def refused() -> bool:
        ended = service.sidecar.events("session_ended")
        codes = [each["code"] for each in ended if fact in each["fact"]]
        return codes.count("CDC-202") >= times

    await_true(refused, what=f"refused: {fact}")


def test_replaced_secrets_are_used_without_a_restart(
    services: Services, strict: PostgresServer, folder: Path, tmp_path: Path
) -> None:
    password, authority = tmp_path / "password", tmp_path / "ca.crt"
    password.write_text("wrong")
    authority.write_text((folder / "stranger.crt").read_text())
    service = _service(services, strict, tmp_path, "rotated")
    service.sql(*ITEMS)
    service.sidecar.start()
    if _WITH_TLS:
        _await_refusal(service, "certificate verify failed")
    authority.write_text((folder / "server.crt").read_text())
    _await_refusal(service, "password authentication failed")
    password.write_text("right\n")
    service.sidecar.await_phase("streaming")
    oracle = service.oracle()
    service.sql(
        "INSERT INTO items VALUES (1, 1, 'before')",
        "ALTER ROLE cdc PASSWORD 'rotated'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'",
    )
    _await_refusal(service, "password authentication failed", times=2)
    password.write_text("rotated\n")
    service.sql("INSERT INTO items VALUES (2, 2, 'after')")
    service.sidecar.await_phase("streaming")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 2
    other = services(strict, "no_slot_left")
    other.sql(*ITEMS)
    other.sidecar.start()
    halt = halt_of(other.sidecar)
    assert halt["code"] == "CDC-213"
    assert "max_replication_slots" in halt["hint"]


def test_a_byte_that_is_no_character_is_a_row_that_halts(
    services: Services, strict: PostgresServer
) -> None:
    with psycopg.connect(strict.dsn(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        admin.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
        )
    service = services(strict, "ascii")
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    with psycopg.connect(service.dsn, autocommit=True, client_encoding="SQL_ASCII") as connection:
        connection.execute(b"INSERT INTO items VALUES (1, 1, E'\\xff')")
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-301"
    assert "0xff" in halt["fact"]
    assert "no setting" in halt["hint"]

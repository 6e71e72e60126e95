"""The settings file of `deploy/postgres`: every version of Postgres at hand starts with it."""

import re
from pathlib import Path

import psycopg
import pytest

from cdc_sidecar.servers.postgres import PostgresServer
from cdc_sidecar.servers.postgres_installation import embedded_postgres, installed_postgres
from tests.deploy.manifests import DEPLOY

_SETTINGS = DEPLOY / "postgres" / "cdc-sidecar.conf"
_LINE = re.compile(r"^(\w+) = '?([^'\n]+)'?$", re.MULTILINE)
_INSTALLED = {**installed_postgres(), 18: embedded_postgres()}


@pytest.mark.parametrize("version", sorted(_INSTALLED))
def test_a_server_starts_with_these_settings(version: int) -> None:
    given = dict(_LINE.findall(_SETTINGS.read_text("utf-8")))
    assert len(given) == len(re.findall(r"^\w", _SETTINGS.read_text("utf-8"), re.MULTILINE))
    folder: Path = _INSTALLED[version]
    with (
        PostgresServer(bin_folder=folder, settings=given, fsync=False) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        shown = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in given
        }
    assert shown == {name: (value.replace("60s", "1min"),) for name, value in given.items()}


def test_a_server_knows_the_settings_that_are_suggested_for_newer_versions() -> None:
    suggested = re.findall(r"^#(\w+) = ", _SETTINGS.read_text("utf-8"), re.MULTILINE)
    assert suggested == ["idle_replication_slot_timeout", "synchronized_standby_slots"]
    with (
        PostgresServer(bin_folder=_INSTALLED[18], fsync=False) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        known = connection.execute(
            "SELECT count(*) FROM pg_settings WHERE name = ANY(%s)", [suggested]
        ).fetchone()
    assert known == (2,)

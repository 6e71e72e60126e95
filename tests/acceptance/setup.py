"""Runs SQL as the owner of a database does: with psql."""

import subprocess
from pathlib import Path

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service


def run_setup(service: Service, postgres: PostgresServer, folder: Path) -> str:
    """Run the printed SQL with `psql`, which continues after an error; return its output."""
    printed = service.sidecar.run("setup-sql")
    assert printed.returncode == 0, printed.stderr
    path = folder / "setup.sql"
    path.write_text(printed.stdout, encoding="utf-8")
    done = subprocess.run(
        [postgres.bin("psql"), "--file", path, service.dsn],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def run_script(service: Service, postgres: PostgresServer, script: str) -> None:
    """Run a script with `psql`, which must get through it without an error."""
    done = subprocess.run(
        [postgres.bin("psql"), service.dsn, "--no-psqlrc", "--set", "ON_ERROR_STOP=1"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr

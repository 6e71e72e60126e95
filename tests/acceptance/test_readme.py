"""The steps of the README work as they are written, for a user who types them in order.

Only the values that a user would replace are replaced: hosts, ports and the name of the database.
The line that installs the package is left out, because test_wheel installs the wheel.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.sidecar import Sidecar

README = Path(__file__).parents[2] / "README.md"
_SECTION = re.compile(r"^## For your own database\n(.*?)^## ", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_RUN = "cdc-sidecar run --config orders.toml"


@dataclass
class Reader:
    """A user who follows the README in an empty folder."""

    folder: Path
    blocks: list[tuple[str, str]]
    environment: Mapping[str, str]
    port: int

    def block(self, kind: str, containing: str = "") -> str:
        """Return the only block of a language that contains a text."""
        (found,) = [text for name, text in self.blocks if name == kind and containing in text]
        return found

    def type(self, containing: str) -> str:
        """Run a shell block unchanged; return its output."""
        return self.run(self.block("sh", containing))

    def run(self, script: str) -> str:
        """Run a script in the reader's shell; check that it ends with status 0."""
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start_sidecar(self) -> Sidecar:
        """Run the block that streams in a second terminal."""
        script = self.block("sh", _RUN)
        assert script.strip() == _RUN
        sidecar = Terminal(self.folder / "orders.toml", self.port)
        sidecar.environment = self.environment
        sidecar.start_and_stream()
        return sidecar


class Terminal(Sidecar):
    """The sidecar in the reader's folder and environment."""

    environment: Mapping[str, str] = os.environ

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it as the README does."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*_RUN.split(), *arguments],
                cwd=self.config.parent,
                stdout=log,
                stderr=log,
                env={**self.environment, **(environment or {})},
            )


@pytest.fixture
def reader(database: str, postgres: PostgresServer, kafka: KafkaBroker, tmp_path: Path) -> Reader:
    """Return a reader with a database, the README's table, and the tools on the path."""
    section = _SECTION.search(README.read_text(encoding="utf-8"))
    assert section
    words, port = conninfo_to_dict(database), free_port()
    replaced = {
        "host=localhost dbname=orders": f"host={words['host']} port={words['port']}"
        f" dbname={words['dbname']}",
        "localhost:9092": kafka.bootstrap_servers,
        "127.0.0.1:9464": f"127.0.0.1:{port}",
    }
    text = section[1]
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    tools = [str(Path(sys.executable).parent), str(postgres.bin("psql").parent)]
    path = os.pathsep.join([*tools, os.environ["PATH"]])
    made = Reader(tmp_path, _BLOCK.findall(text), {**os.environ, "PATH": path}, port)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(made.block("sql").encode())
    return made


def test_the_steps_of_the_readme_bring_a_row_to_kafka(reader: Reader, database: str) -> None:
    install = reader.block("sh", "pip install")
    assert "cdc-sidecar 0." in reader.run(install.replace("pip install .\n", ""))
    (reader.folder / "orders.toml").write_text(reader.block("toml"), encoding="utf-8")
    exports = prepare(reader)
    assert_least_privilege(database)
    assert "0 faults" in reader.type("cdc-sidecar check")
    sidecar = reader.start_sidecar()
    try:
        printed = reader.run(exports + reader.block("sh", "cdc-sidecar tail"))
        (event,) = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        assert_holds(event, json.loads(reader.block("json")))
        assert event["value"]["source"]["table"] == "orders"
        assert "0 faults" in reader.type("cdc-sidecar check")
        assert sidecar.terminate() == 0
    finally:
        sidecar.close()
    assert sidecar.events("slot_created")
    assert sidecar.events("sidecar_stopped")


def prepare(reader: Reader) -> str:
    """Follow step 3; return its exports as a script."""
    script = reader.block("sh", "export OWNER")
    exports = "".join(line + "\n" for line in script.splitlines() if line.startswith("export "))
    reader.run(script)
    reader.environment = {**reader.environment, "CDC_PASSWORD": "change-me"}
    assert "export CDC_PASSWORD=change-me\n" in exports
    return exports


def assert_least_privilege(database: str) -> None:
    """Check that the role that streams can only replicate and log in (B54)."""
    query = (
        "SELECT rolcanlogin, rolreplication, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls"
        " FROM pg_roles WHERE rolname = 'cdc_sidecar'"
    )
    with psycopg.connect(database) as connection:
        assert connection.execute(query).fetchone() == (True, True, False, False, False, False)
        owned = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relowner = 'cdc_sidecar'::regrole"
        ).fetchone()
    assert owned == (0,)


def assert_holds(found: Any, shown: Any) -> None:  # noqa: ANN401 - JSON
    """Check that everything shown is found."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert_holds(found[name], value)
    else:
        assert found == shown

"""An operator who follows a page of the documentation literally.

The database, the broker and the port are those of the test: the environment says so, with the
variables that override a configuration, and those of libpq. What a page shows is run unchanged.
"""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from cdc_sidecar.errors import SchemasUnreadable
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.events import Event, read_events
from tests.acceptance.sidecar import Sidecar
from tests.waiting import await_true

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
_README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = "cdc-sidecar run --config orders.toml"
ROLE = "cdc_sidecar"
_TAIL = "cdc-sidecar tail --config orders.toml --from-beginning"


class Page:
    """The blocks of a page. Each must be taken, so that no block of a page is left untried."""

    def __init__(self, name: str) -> None:
        self._text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        self._blocks: list[tuple[str, str]] = _BLOCK.findall(self._text)
        self._taken: set[int] = set()

    def take(self, kind: str, containing: str) -> str:
        """Return the only block of a language that contains a text."""
        found = [
            number
            for number, (name, text) in enumerate(self._blocks)
            if name == kind and containing in text
        ]
        assert len(found) == 1, f"{len(found)} blocks of {kind} contain {containing!r}"
        self._taken.add(found[0])
        return self._blocks[found[0]][1]

    def take_all(self, kind: str) -> list[str]:
        """Return every block of a language."""
        numbers = [number for number, (name, _) in enumerate(self._blocks) if name == kind]
        assert numbers
        self._taken.update(numbers)
        return [self._blocks[number][1] for number in numbers]

    def rows(self, heading: str) -> list[list[str]]:
        """Return the cells of the table whose last column has a heading."""
        lines = self._text.split(f"| {heading} |\n", 1)[1].splitlines()[1:]
        return [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in takewhile(lambda line: line.startswith("|"), lines)
        ]

    def assert_taken(self) -> None:
        """Check that every block was taken."""
        left = [text for number, (_, text) in enumerate(self._blocks) if number not in self._taken]
        assert left == []


class OperatorsSidecar(Sidecar):
    """The sidecar as a page starts it, in the operator's folder and environment."""

    environment: Mapping[str, str] = os.environ

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*RUN.split(), *arguments],
                cwd=self.config.parent,
                stdout=log,
                stderr=log,
                env={**self.environment, **(environment or {})},
            )


class Operator:
    """A person with a shell and the owner's connection, beside a service with table `orders`."""

    def __init__(self, folder: Path, dsn: str, kafka: str, postgres: PostgresServer) -> None:
        self.service = f"h{secrets.token_hex(4)}"
        self.dsn = dsn
        self.kafka = kafka
        self.config = folder / "orders.toml"
        self._folder = folder
        self.sidecar = OperatorsSidecar(self.config, free_port())
        self.sidecar.environment = self.environment = self._environment(postgres)

    def _environment(self, postgres: PostgresServer) -> dict[str, str]:
        tools = [str(Path(sys.executable).parent), str(postgres.bin("psql").parent)]
        overrides: dict[str, object] = {
            "SERVICE__NAME": self.service,
            "POSTGRES__DSN": make_conninfo(self.dsn, user=ROLE),
            "POSTGRES__PASSWORD": "unused",
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "TOPICS__REPLICATION_FACTOR": 1,
            "TOPICS__CONFIG__MIN_INSYNC_REPLICAS": "1",
            "HTTP__LISTEN": f"127.0.0.1:{self.sidecar.port}",
        }
        return {
            **os.environ,
            **{f"CDC_SIDECAR__{name}": json.dumps(value) for name, value in overrides.items()},
            "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
            "OWNER": self.dsn,
            "CDC_PASSWORD": "unused",
        }

    def prepare(self) -> None:
        """Follow the README until a sidecar could run: its table, configuration and SQL."""
        blocks = _BLOCK.findall(_README.read_text(encoding="utf-8"))
        (table,) = [text for kind, text in blocks if kind == "sql"]
        (config,) = [text for kind, text in blocks if kind == "toml"]
        self.config.write_text(config, encoding="utf-8")
        self.sql(table)
        self.sh("cdc-sidecar setup-sql --config orders.toml > setup.sql")
        self.sh('psql "$OWNER" --set ON_ERROR_STOP=1 --file setup.sql')

    def sh(self, script: str, status: int = 0) -> str:
        """Run a script in a shell that ends at the first error; return its output.

        A line that runs the sidecar starts it in another terminal, and waits until it streams.
        """
        before, run, after = script.partition(RUN)
        printed = self._sh(before, status) if before.strip() else ""
        if run:
            self.sidecar.start_and_stream(*after.split())
        return printed

    def _sh(self, script: str, status: int) -> str:
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", script],
            cwd=self._folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def sql(self, script: str) -> None:
        """Run a script as the owner, with psql."""
        (self._folder / "typed.sql").write_text(script, encoding="utf-8")
        self._sh('psql "$OWNER" --set ON_ERROR_STOP=1 --file typed.sql', 0)

    def configure(self, block: str) -> None:
        """Add a block to the configuration."""
        with self.config.open("a", encoding="utf-8") as file:
            file.write(f"\n{block}")

    def replace(self, old: str, new: str) -> None:
        """Replace a part of the configuration."""
        text = self.config.read_text(encoding="utf-8")
        assert text.count(old) == 1, text
        self.config.write_text(text.replace(old, new), encoding="utf-8")

    def stop(self) -> None:
        """Stop the sidecar in order."""
        assert self.sidecar.terminate() == 0, self.sidecar.log_text()

    def json_lines(self, script: str) -> list[dict[str, Any]]:
        """Run a script; return the lines of JSON that it prints."""
        return [json.loads(line) for line in self.sh(script).splitlines() if line[:1] == "{"]

    def rows(self, table: str, count: int) -> list[tuple[str, Any]]:
        """Return op and `id` of the changes of a table, sorted; wait until there are `count`."""
        topic = f"{self.service}.public.{table}"

        def changes() -> int:
            return sum(event.op != "r" for event in self._events(topic))

        await_true(lambda: changes() >= count, what=f"{count} records of {table}")
        events: list[dict[str, Any]] = []
        while len(events) < (records := len(self._events(topic))):  # rows of a snapshot may follow
            events = self.json_lines(f"{_TAIL} {topic} --limit {records}")
        ops = ((event["value"] or {"op": "tombstone"})["op"] for event in events)
        found = zip(ops, (event["key"]["id"] for event in events), strict=True)
        return sorted(change for change in found if change[0] != "r")

    def await_read(self, table: str, ids: set[str]) -> None:
        """Wait until the rows of a snapshot are there."""
        topic = f"{self.service}.public.{table}"

        def read() -> set[str]:
            return {json.loads(e.key)["id"] for e in self._events(topic) if e.op == "r"}

        await_true(lambda: read() >= ids, what=f"rows {ids} of {table}")

    def _events(self, topic: str) -> list[Event]:
        """Return the events so far; none while the schema of one is not visible yet."""
        with suppress(SchemasUnreadable):
            places = read_events(self.kafka, self.service, [topic])
            return [event for place in places.values() for event in place]
        return []

    def values(self, table: str, count: int) -> list[dict[str, Any]]:
        """Return the values of the first records of a table."""
        topic = f"{self.service}.public.{table}"
        return [line["value"] for line in self.json_lines(f"{_TAIL} {topic} --limit {count}")]

    def assert_halts(self, code: str, status: int = 3) -> None:
        """Start the sidecar; check that it ends with this status and error."""
        self.sidecar.start()
        assert self.sidecar.await_exit() == status, self.sidecar.log_text()
        assert self.sidecar.events("sidecar_halted")[-1]["code"] == code

    def lose_slot(self, name: str) -> None:
        """Let the server invalidate a slot, as it does when its disk would become full."""
        self.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'; SELECT pg_reload_conf();")

        def lost() -> bool:
            self.sql("SELECT pg_logical_emit_message(false, 'noise', ''), pg_switch_wal();")
            self.sql("CHECKPOINT;")
            query = f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{name}'"
            return self.ask(query) == "lost"

        await_true(lost, what="the slot is lost")
        self.sql("ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_reload_conf();")

    def ask(self, query: str) -> object:
        """Return the first column of the first row of a query."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        """End the sidecar."""
        self.sidecar.close()


@contextmanager
def prepared_operator(
    folder: Path, dsn: str, kafka: str, postgres: PostgresServer
) -> Iterator[Operator]:
    """Yield an operator who has followed the README; no sidecar runs yet."""
    made = Operator(folder, dsn, kafka, postgres)
    made.prepare()
    yield made
    made.close()

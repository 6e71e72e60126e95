"""Functions for tests that stop, freeze, promote or restrict their own Postgres server."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.acceptance.conftest import Service
from tests.acceptance.events import read_events
from tests.acceptance.sidecar import Sidecar
from tests.waiting import await_true

"""Whether tests run in full length; in CI each runs a short variant."""
ITEMS = (
    "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
    "CREATE PUBLICATION cdc FOR ALL TABLES",
)


def ask(dsn: str, query: str, *parameters: object) -> object:
    """Return the first column of the first row, or None if there is no row."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode(), parameters or None).fetchone()
    return row[0] if row else None


def slot_column(service: Service, column: str) -> object:
    """Return a column of the service's slot in `pg_replication_slots`."""
    query = f"SELECT {column} FROM pg_replication_slots WHERE slot_name = %s"
    return ask(service.dsn, query, f"{service.name}_cdc")


def published_ids(service: Service) -> list[int]:
    """Return the ids of the published items in order, repeated ones included."""
    seen = read_events(service.kafka, service.name, service.topics("items"))
    events = [event for place in seen.values() for event in place if event.op]
    ordered = sorted(events, key=lambda event: [int(n) for n in str(event.identity).split("/")])
    return [int(json.loads(event.key)["id"]) for event in ordered]


def metric(sidecar: Sidecar, name: str) -> float:
    """Return a metric by its name with labels, or NaN if it is not shown."""
    for line in sidecar.scrape().splitlines():
        if line.startswith(f"cdc_sidecar_{name} "):
            return float(line.rpartition(" ")[2])
    return float("nan")


def halt_of(sidecar: Sidecar, *, deadline: float = 60.0) -> dict[str, Any]:
    """Wait until the sidecar ends with exit status 3; return the reason."""
    assert sidecar.await_exit(deadline) == 3, sidecar.log_text()
    assert "Traceback" not in sidecar.log_text()
    return sidecar.events("sidecar_halted")[-1]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process during the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await_stopped(pid)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def await_stopped(pid: int) -> None:
    """Wait until a process is frozen."""
    stat = Path(f"/proc/{pid}/stat")
    await_true(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="it stood still")

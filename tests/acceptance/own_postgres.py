"""What tests ask and do where the Postgres server may be stopped, starved, frozen or promoted."""

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
    """Return the first column of the first row, or None where there is no row."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode(), parameters or None).fetchone()
    return row[0] if row else None


def slot_column(service: Service, column: str) -> object:
    """Return a column of the service's slot in `pg_replication_slots`."""
    query = f"SELECT {column} FROM pg_replication_slots WHERE slot_name = %s"
    return ask(service.dsn, query, f"{service.name}_cdc")


def published_ids(service: Service) -> list[int]:
    """Return the ids of the items that were published, in their order, with repeats."""
    seen = read_events(service.kafka, service.name, service.topics("items"))
    events = [event for place in seen.values() for event in place if event.op]
    ordered = sorted(events, key=lambda event: [int(n) for n in str(event.identity).split("/")])
    return [int(json.loads(event.key)["id"]) for event in ordered]


def metric(sidecar: Sidecar, name: str) -> float:
    """Return the value of a metric, with its labels in its name; NaN where it is not shown."""
    for line in sidecar.get("/metrics")[1].splitlines():
        if line.startswith(f"cdc_sidecar_{name} "):
            return float(line.rpartition(" ")[2])
    return float("nan")


def halt_of(sidecar: Sidecar, *, deadline: float = 60.0) -> dict[str, Any]:
    """Wait until the sidecar ends by itself with status 3; return why."""
    assert sidecar.await_exit(deadline) == 3, sidecar.log_text()
    assert "Traceback" not in sidecar.log_text()
    return sidecar.events("sidecar_halted")[-1]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process; it goes on at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await_stopped(pid)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def await_stopped(pid: int) -> None:
    """Wait until a process stands still."""
    stat = Path(f"/proc/{pid}/stat")
    await_true(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="it stood still")

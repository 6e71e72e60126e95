"""`cdc-sidecar snapshot`: asks the running sidecar by its socket, or shows how far it is."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from cdc_sidecar.commands.sidecar_client import ask_status
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarRunning, SnapshotRefused
from cdc_sidecar.events.registry.records import TableSnapshot, decode_schema_record
from cdc_sidecar.kafka.schemas import read_schemas
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations.snapshot_order import order
from cdc_sidecar.operations.snapshot_plan import TablePlan, plan_tables, read_tables
from cdc_sidecar.runtime.snapshot_board import SnapshotBoard
from cdc_sidecar.wording import number, rate, size, span

_TIMEOUT: Final = 40.0
"""Seconds for the answer, which comes once Kafka has committed the request."""
_WIDTH: Final = 20
"""Characters of a bar."""
_DONE: Final[Mapping[str, str]] = {
    "start": "will be sent",
    "pause": "is paused",
    "resume": "goes on",
    "cancel": "is cancelled",
    "rate": "has another limit",
}


def ask(path: Path, action: str, tables: Sequence[str], *, where: str = "", rate: int = 0) -> int:
    """Ask the running sidecar for something, and print what it has done; return 1 if nothing.

    Raises:
        SnapshotRefused: no sidecar answers, or it refuses.

    """
    config, request = load_config(path), {"action": action, "tables": list(tables)}
    answer = _answer(config, {**request, "where": where, "rate": rate})
    for table in answer["tables"]:
        typer.echo(f"{table} {_DONE[action]}{answer.get('when', '')}")
    if not answer["tables"]:
        typer.echo("nothing to do: no snapshot is open")
    return 0 if answer["tables"] else 1


def _answer(config: Config, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the running sidecar says, or what is noted for the next start."""
    try:
        answer = _exchange(config.control_socket, request)
    except SnapshotRefused as refused:
        return _order(config, request, refused)
    if not answer["ok"]:
        raise SnapshotRefused(answer["fact"], hint=answer["hint"])
    return answer


def _order(config: Config, request: Mapping[str, Any], refused: SnapshotRefused) -> dict[str, Any]:
    """Note a request in Kafka if no sidecar runs, neither here nor elsewhere."""
    configure_quietly()
    action, tables = request["action"], request["tables"]
    try:
        names = order(config, action, tables, request["where"], request["rate"])
    except SidecarRunning:
        raise refused from None
    return {"tables": names, "when": " when the sidecar starts: it is down"}


def _exchange(path: Path, message: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(_TIMEOUT)
            client.connect(str(path))
            client.sendall(json.dumps(message).encode() + b"\n")
            with client.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
                return answer
    except (OSError, ValueError) as error:
        raise SnapshotRefused(
            f"no sidecar answers at {path} ({error})",
            hint="run the command where the sidecar runs, in its container and as its user; or"
            " raise `generation` of the table in the configuration, and send SIGHUP",
        ) from error


def plan(path: Path, tables: Sequence[str], *, as_json: bool) -> int:
    """Print how tables would be read; return 1 if one of them cannot be."""
    config = load_config(path)
    configure_quietly()
    plans = plan_tables(config, read_tables(config, "start", tables))
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in plans], indent=2))
    else:
        for each in plans:
            typer.echo(_describe(each))
    return 1 if any(each.fault for each in plans) else 0


def _describe(plan: TablePlan) -> str:
    if plan.fault:
        return f"{plan.table}: cannot be read: {plan.fault}"
    rows = f"about {plan.rows:,} rows" if plan.rows is not None else "rows unknown (run ANALYZE)"
    time = "" if plan.seconds is None else f", about {span(plan.seconds)}"
    return f"{plan.table}: by {plan.by}, {rows}, {size(plan.bytes)}{time}"


def status(path: Path, *, as_json: bool) -> int:
    """Print the progress; return 1 if there was no snapshot."""
    config = load_config(path)
    configure_quietly()
    snapshot = _running(config) or _recorded(config)
    if as_json:
        typer.echo(json.dumps(snapshot, indent=2))
    elif snapshot is None:
        typer.echo("no table has had a snapshot")
    else:
        typer.echo("\n".join(_lines(snapshot)))
    return 0 if snapshot else 1


def _running(config: Config) -> dict[str, Any] | None:
    """Return the progress that the running sidecar shows."""
    body = ask_status(config)
    if body is None or body["service"] != config.service.name:
        return None
    shown: dict[str, Any] | None = body.get("snapshot")
    return shown


def _recorded(config: Config) -> dict[str, Any] | None:
    """Return the progress as Kafka has it."""
    latest: dict[int, TableSnapshot] = {}
    for key, value in read_schemas(config):
        record = decode_schema_record(key, value)
        if isinstance(record, TableSnapshot):
            latest[record.oid] = record
    board = SnapshotBoard()
    board.open(latest.values())
    body = board.as_json()
    return {**body, "running": False} if body else None


def _lines(snapshot: Mapping[str, Any]) -> Iterator[str]:
    tables = snapshot["tables"]
    width = max(len(table["table"]) for table in tables)
    for table in tables:
        full = round(table["ratio"] * _WIDTH)
        bar = "█" * full + "░" * (_WIDTH - full)
        phase = "paused" if table["paused"] else table["phase"]
        rows = f"{table['rows']:,} of about {table['estimated_rows']:,} rows"
        if phase == "done":
            rows = number(table["rows"], "row")
        yield f"{table['table']:<{width}}  {bar} {table['ratio']:>4.0%}  {phase}, {rows}"
        if table["error"]:
            yield f"{'':<{width}}  {table['error']}"
    if snapshot["running"]:
        left = snapshot["eta_seconds"]
        ends = "" if left is None else f", {span(left)} left"
        yield f"{rate(snapshot['rows_per_second'], 'rows')}{ends}"
    waits = snapshot["waits"]
    if waits:
        yield f"waits: {waits['for']} {' and '.join(waits['whom'])}".rstrip()

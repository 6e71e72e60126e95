"""`cdc-sidecar outbox`: shows what outbox tables hold, and removes what is published."""

import json
from pathlib import Path

import typer

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.units import parse_duration
from cdc_sidecar.errors import PruneRefused
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations import outbox
from cdc_sidecar.operations.outbox import OutboxState
from cdc_sidecar.wording import number, size, span


def prune(path: Path, table: str | None, older_than: str, timeout: float) -> int:
    """Remove published rows of outbox tables, and print how many.

    Raises:
        PruneRefused: it is not certain what is published, or how old a row is.

    """
    age = _parse_age(older_than)
    config = load_config(path)
    configure_quietly()
    for name, rows, partitions in outbox.prune(config, table, age, timeout):
        dropped = f" and {number(partitions, 'partition')}" if partitions else ""
        typer.echo(f"{name}: {number(rows, 'row')}{dropped} removed")
    return 0


def _parse_age(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise PruneRefused(f"--older-than {error}", hint="write --older-than 1h") from error


def status(path: Path, table: str | None, *, as_json: bool) -> int:
    """Print what each outbox table holds."""
    config = load_config(path)
    configure_quietly()
    states = outbox.states(config, table)
    if as_json:
        typer.echo(json.dumps([state.as_json() for state in states], indent=2))
    else:
        for state in states:
            typer.echo(_line(state))
    return 0


def _line(state: OutboxState) -> str:
    stock = state.stock
    rows = "too many rows to count" if stock.rows is None else number(stock.rows, "row")
    oldest = "" if stock.oldest is None else f", the oldest {span(stock.oldest)} old"
    behind = f"{size(state.backlog)} of WAL not confirmed yet" if state.backlog else "all published"
    return f"{state.table}: {rows}{oldest}, {size(stock.bytes)}, {behind}"

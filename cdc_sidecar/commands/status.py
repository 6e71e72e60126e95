"""`cdc-sidecar status`: from the running sidecar, or from Postgres and Kafka when it is down."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import typer

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config, Log
from cdc_sidecar.kafka.claim import read_current_position
from cdc_sidecar.logs import configure_logging
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.server import SourceServer, read_server
from cdc_sidecar.postgres.slot import SlotStatus, read_slot

_TIMEOUT: Final = 5.0
"""Seconds to wait for the sidecar, which answers from memory; then it counts as down."""
_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - only compared with
"""Addresses that mean every interface, which a client cannot connect to."""


def status(path: Path, *, url: str | None, as_json: bool) -> int:
    """Print the status.

    Raises:
        SidecarError: the sidecar is down, and so is Postgres or Kafka.

    """
    config = load_config(path)
    configure_logging(Log(level="error"))
    body = ask_sidecar(url or address_of(config)) or look_without(config)
    if as_json:
        typer.echo(json.dumps(body, indent=2))
    else:
        for line in lines_of(body):
            typer.echo(line)
    return 0


def address_of(config: Config) -> str:
    """Return the URL of the configured HTTP address, as seen from this host."""
    host = "127.0.0.1" if config.http.host in _EVERYWHERE else config.http.host
    return f"http://{f'[{host}]' if ':' in host else host}:{config.http.port}"


def ask_sidecar(url: str) -> dict[str, Any] | None:
    """Return the status of the sidecar at `url`; None if it does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/status", timeout=_TIMEOUT) as answer:  # noqa: S310 - http
            body: dict[str, Any] = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return body


def look_without(config: Config) -> dict[str, Any]:
    """Return what Postgres and Kafka report while no sidecar answers."""
    server, slot = _look_at_source(config)
    record = read_current_position(config)
    position = record.position if record else None
    return {
        "version": 1,
        "service": config.service.name,
        "phase": "down",
        "ready": False,
        "transactional_id": config.transactional_id,
        "position": format_lsn(position.end_lsn) if position else None,
        "partial": position is not None and position.partial is not None,
        "commits": record.commits if record else 0,
        "written_by": record.instance if record else None,
        "server_lsn": format_lsn(server.wal_end),
        "lag_bytes": max(0, server.wal_end - position.end_lsn) if position else None,
        "slot": slot_as_json(config.postgres.slot, slot),
    }


def _look_at_source(config: Config) -> tuple[SourceServer, SlotStatus | None]:
    database = Database(config.postgres)
    try:
        with database.connection() as connection:
            return read_server(connection), read_slot(connection, config.postgres.slot)
    finally:
        database.close()


def lines_of(body: dict[str, Any], indent: str = "") -> list[str]:
    """Return the lines that show a JSON body to people."""
    lines = []
    for name, value in body.items():
        label = name.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{indent}{label}", *lines_of(value, indent + "  ")]
        else:
            shown = "–" if value is None else value
            lines.append(f"{indent}{label:<{24 - len(indent)}}{shown}")
    return lines


def slot_as_json(name: str, slot: SlotStatus | None) -> dict[str, Any]:
    """Return a slot as JSON; `slot` is None if it does not exist."""
    return {
        "name": name,
        "exists": slot is not None,
        "active_pid": slot.active_pid if slot else None,
        "wal_status": slot.wal_status if slot else None,
        "confirmed_flush_lsn": format_lsn(slot.confirmed_flush_lsn) if slot else None,
        "retained_bytes": slot.retained_bytes if slot else None,
        "safe_wal_size": slot.safe_wal_size if slot else None,
    }

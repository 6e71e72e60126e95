"""`cdc-sidecar status`: from the running sidecar, or from Postgres and Kafka when it is down."""

import json
import time
from pathlib import Path
from typing import Any

import typer

from cdc_sidecar.commands.lines import slot_as_json
from cdc_sidecar.commands.sidecar_client import address_of, ask_status
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.http.status_text import details, verdict
from cdc_sidecar.kafka.last_run import Reason
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations.outlook import Observer, Outlook
from cdc_sidecar.postgres.lsn import format_lsn


def status(path: Path, *, url: str | None, as_json: bool) -> int:
    """Print the status; return 0 if the sidecar streams or stands by, else 1.

    Raises:
        ConfigUnreadable, ConfigInvalid: the configuration is wrong.
        SidecarRefuses: the sidecar does not accept the credentials of the configuration.

    """
    config = load_config(path)
    configure_quietly()
    body = _body(config, url.rstrip("/") if url else None)
    sentence = verdict(body, time.time())
    if as_json:
        typer.echo(json.dumps({**body, "verdict": sentence}, indent=2))
    else:
        typer.secho(sentence, bold=True, fg="green" if body["ready"] else "red")
        typer.echo("\n".join(details(body, time.time())))
    return 0 if body["ready"] else 1


def _body(config: Config, url: str | None) -> dict[str, Any]:
    answer, address = ask_status(config, url), url or address_of(config)
    if answer and answer["service"] == config.service.name:
        return {**answer, "url": address}
    body = look_without(config, Observer(config).look())
    return {**body, "url": address, "answered_by": answer and answer["service"]}


def look_without(config: Config, seen: Outlook) -> dict[str, Any]:
    """Return what Postgres and Kafka report while no sidecar answers."""
    source, record = seen.source, seen.record
    position = record.position if record else None
    server = source.server if source else None
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
        "written_at": record.written_at / 1e6 if record else None,
        "server": {
            "version": server.release if server else None,
            "database": server.database if server else None,
        },
        "server_lsn": format_lsn(server.wal_end) if server else None,
        "lag_bytes": max(0, server.wal_end - position.end_lsn) if server and position else None,
        "slot": slot_as_json(config.postgres.slot, source.slot if source else None),
        "last_run": seen.last_run.as_json() if seen.last_run else None,
        "fault": _error(seen.fault),
        "errors": {"postgres": _error(seen.postgres_error), "kafka": _error(seen.kafka_error)},
    }


def _error(error: SidecarError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    reason = Reason.of(error)
    return {name: getattr(reason, name) for name in Reason.__slots__}

"""`cdc-sidecar init`: writes a commented configuration, with the tables of a database if asked."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from pydantic import ValidationError

from cdc_sidecar.commands.config_text import EXAMPLE_TABLE, Values, render_config, render_tables
from cdc_sidecar.config.model import Service
from cdc_sidecar.errors import ConfigUnwritable
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations.proposal import Proposal, propose

_DSN: Final = "host=localhost dbname={service} user={role}"
_LONGEST_SERVICE: Final = 59
"""Characters of a service name that leave room for "_cdc" in the slot's name."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of the command; None is what the user left open."""

    dsn: str | None
    service: str | None
    brokers: str
    role: str
    force: bool


def init(path: Path, wishes: Wishes) -> int:
    """Write the configuration file, and say what to do next.

    Raises:
        ConfigUnwritable: the file exists, or cannot be written.
        SidecarError: Postgres is not available, or refuses the connection.

    """
    configure_quietly()
    if path.exists() and not wishes.force:
        raise _exists(path)
    proposal = None if wishes.dsn is None else propose(wishes.dsn, wishes.role)
    _write(path, _render(wishes, proposal), force=wishes.force)
    typer.echo("\n".join([_summary(path, proposal), *_next_steps(path)]))
    return 0


def _exists(path: Path) -> ConfigUnwritable:
    return ConfigUnwritable(
        f"{path} exists", hint="name another file with --config, or replace it with --force"
    )


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise ConfigUnwritable(
            f"{path}: {error.strerror}", hint="name a file in a folder that you may write to"
        ) from error


def _render(wishes: Wishes, proposal: Proposal | None) -> str:
    service = _checked(wishes.service or _service_of(proposal.database if proposal else "orders"))
    slot = _slot_of(service)
    dsn = proposal.dsn if proposal else _DSN.format(service=service, role=wishes.role)
    tables = render_tables(proposal.tables) if proposal else EXAMPLE_TABLE
    return render_config(Values(service, dsn, slot, wishes.brokers), tables)


def _checked(service: str) -> str:
    try:
        return Service(name=service).name
    except ValidationError as error:
        message = "must be 1 to 100 letters, digits, _ or -"
        raise typer.BadParameter(message, param_hint="--service") from error


def _service_of(database: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", database)[:_LONGEST_SERVICE]


def _slot_of(service: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", service.lower())[:_LONGEST_SERVICE] + "_cdc"


def _summary(path: Path, proposal: Proposal | None) -> str:
    if proposal is None:
        return f"wrote {path} with an example table"
    usable = [table for table in proposal.tables if not table.obstacles]
    outboxes = sum(table.is_outbox for table in usable)
    left = len(proposal.tables) - len(usable)
    parts = [_count(len(usable) - outboxes, "table"), _count(outboxes, "outbox")]
    text = f"wrote {path} with {' and '.join(filter(None, parts)) or 'no table'}"
    text += f" of database {proposal.database}"
    return text + (
        f"; {_count(left, 'table')} cannot be captured yet: the file says why" if left else ""
    )


def _count(number: int, noun: str) -> str:
    if number == 0:
        return ""
    plural = "es" if noun.endswith("x") else "s"
    return f"{number} {noun}{plural if number > 1 else ''}"


def _next_steps(path: Path) -> list[str]:
    option = "" if str(path) == "cdc-sidecar.toml" else f" -c {path}"
    return [
        "next:",
        f"  edit {path}: every column that it lists is sent",
        f"  cdc-sidecar setup-sql{option}   # prints the SQL that prepares the database",
        f"  cdc-sidecar check{option}       # tests everything",
        f"  cdc-sidecar run{option}",
    ]

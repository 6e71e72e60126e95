"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

CONFIG = Path("cdc-sidecar.toml")
"""The configuration file if neither `--config` nor CDC_SIDECAR_CONFIG names another."""

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="CDC_SIDECAR_CONFIG", help="The TOML configuration file."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
YesOption = Annotated[
    bool,
    typer.Option("--yes", help="Apply the change. Without this option the command is a dry run."),
]


class OutboxShape(StrEnum):
    """What a service writes for an event."""

    TABLE = "table"
    TRANSIENT = "transient"
    MESSAGE = "message"


ReasonOption = Annotated[
    str | None, typer.Option(help="A text that is stored with the new position.")
]

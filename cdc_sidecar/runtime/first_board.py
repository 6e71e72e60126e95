"""The status board of a process that starts: what its configuration tells."""

import time
from dataclasses import replace

from cdc_sidecar import __version__
from cdc_sidecar.config.identity import config_fingerprint
from cdc_sidecar.config.model import Config
from cdc_sidecar.config.shown import shown_config
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.postgres.connect import server_of
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.status import Status
from cdc_sidecar.runtime.status_board import StatusBoard


def first_board(config: Config) -> StatusBoard:
    """Return the board before the first session."""
    name, slot = config.service.name, config.postgres.slot
    status = Status(name, slot, config.transactional_id, __version__, time.time())
    status = replace(
        status,
        host=host_of(config),
        config_fingerprint=config_fingerprint(config),
        config_loaded_at=status.started_at,
    )
    board = StatusBoard(status)
    board.backlog = Backlog(idle_since=status.started_at)
    board.configuration = shown_config(config)
    return board


def host_of(config: Config) -> str | None:
    """Return host and port of Postgres as the dsn has them; None if it cannot be read."""
    try:
        return server_of(config.postgres) or None
    except SidecarError:
        return None

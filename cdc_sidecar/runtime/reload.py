"""Loading the configuration anew while the sidecar runs (SIGHUP).

The new configuration is examined as a start would do it. Only if nothing is wrong with it, the
session ends in order and the next one uses it; otherwise the old one stays.
"""

from collections.abc import Callable
from typing import Final

from cdc_sidecar.checks.condition import check_all
from cdc_sidecar.checks.source_view import OF_SOURCE, read_view
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import ReloadRefused, SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.logs import Logger
from cdc_sidecar.postgres.server import read_server
from cdc_sidecar.runtime.resources import Resources

RELOADABLE: Final = frozenset({
    "log", "messages", "notifications", "outboxes", "snapshot", "tables", "topics", "transactions",
})  # fmt: skip
"""The sections that a new session takes over. The others belong to what outlives a session: the
connections, the HTTP server, and the claim of the position."""


class Reloader:
    """Loads and examines a configuration; called in a thread of its own."""

    def __init__(self, load: Callable[[], Config], log: Logger) -> None:
        """Use `load` to read the file."""
        self._load = load
        self._log = log

    def new_config(self, resources: Resources) -> Config | None:
        """Return the new configuration; None if it is refused or says what the old one says."""
        try:
            config = self._load()
            _check_sections(resources.config, config)
            if config == resources.config:
                self._log.info("configuration_unchanged")
                return None
            _examine(resources, config)
        except SidecarError as error:
            self._log.error(
                "configuration_refused",
                code=error.code,
                fact=error.fact,
                cause=error.cause,
                hint=error.hint,
            )
            return None
        return config


def _check_sections(old: Config, new: Config) -> None:
    """Check that only sections changed that a new session takes over.

    Raises:
        ReloadRefused: others changed; the error names their keys.

    """
    changed = []
    for section in sorted(type(old).model_fields.keys() - RELOADABLE):
        before, after = getattr(old, section), getattr(new, section)
        names = type(before).model_fields
        changed += [
            f"{section}.{name}" for name in names if getattr(before, name) != getattr(after, name)
        ]
    if changed:
        raise ReloadRefused(
            f"{', '.join(changed)} cannot be changed while the sidecar runs",
            hint="restart the sidecar, or restore the former value and send SIGHUP again",
        )


def _examine(resources: Resources, config: Config) -> None:
    """Examine the source as a start with the configuration would.

    Raises:
        SidecarError: a start would halt.

    """
    with resources.database.connection() as connection:
        view = read_view(connection, read_server(connection), config, Capture.of(config))
    check_all(OF_SOURCE, view)

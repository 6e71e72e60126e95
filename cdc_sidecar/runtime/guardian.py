"""The guardian: looks at slot, publication and captured tables on a connection of its own.

It never holds up the stream. What the server does silently (a captured table dropped from the
publication, or another put in its place) it makes an error.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    PublicationIncomplete,
    PublicationMissing,
    RetryError,
    SidecarError,
    SlotLost,
)
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.catalog import read_publication, read_table_names
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.slot import SlotStatus, read_slot
from cdc_sidecar.runtime.state import StateBoard

INTERVAL: Final = 10.0  # seconds


class Guardian:
    """A thread for the life of the daemon; each session tells it which tables it captures."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        config: Config,
        database: Database,
        *,
        captured: Callable[[], Mapping[int, str]],
        fail: Callable[[SidecarError], None],
        board: StateBoard,
        metrics: Metrics,
        log: Logger,
    ) -> None:
        self._config = config
        self._database = database
        self._captured = captured
        self._fail = fail
        self._board = board
        self._metrics = metrics
        self._log = log

    def run(self, stopping: threading.Event) -> None:
        """Look every few seconds until the daemon stops."""
        while not stopping.wait(INTERVAL):
            try:
                self.look()
            except RetryError as error:
                self._log.warning("guardian_was_blind", error=error.fact)
            except SidecarError as error:
                self._fail(error)

    def look(self) -> None:
        """Look once.

        Raises:
            SidecarError: the source cannot be asked, or is not what it was.

        """
        captured = self._captured()
        postgres = self._config.postgres
        with self._database.connection() as connection:
            slot = read_slot(connection, postgres.slot)
            publication = read_publication(connection, postgres.publication)
            now = read_table_names(connection, postgres.publication)
        if slot:
            self._show(slot)
        if captured and publication is None:
            raise PublicationMissing(postgres.publication, cause="it was dropped while we ran")
        self._compare(captured, now)

    def _show(self, slot: SlotStatus) -> None:
        self._metrics.set_slot(slot)
        warnings: tuple[str, ...] = ()
        if slot.wal_status == "unreserved":
            warnings = ("the slot is about to be lost: wal_status is unreserved",)
            self._log.warning("slot_in_danger", wal_status=slot.wal_status)
        self._board.update(slot=slot, slot_seen_at=time.time(), warnings=warnings)
        if slot.wal_status == "lost":
            raise SlotLost(f"slot {slot.name}: wal_status lost")

    def _compare(self, captured: Mapping[int, str], now: Mapping[int, str]) -> None:
        gone = [name for oid, name in captured.items() if now.get(oid) != name]
        if gone:
            raise PublicationIncomplete(
                f"{', '.join(sorted(gone))} left publication {self._config.postgres.publication}",
                cause="dropped from the publication, renamed, or another put in its place",
                cure="take it out of the configuration, or put it back; then restart",
            )

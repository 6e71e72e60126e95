"""The guardian: looks at slot, publication and captured tables on a connection of its own.

It never holds up the stream. What the server does silently (a captured table dropped from the
publication, or another put in its place) it makes an error; what will go wrong, a warning.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    PublicationIncomplete,
    RetryError,
    SidecarError,
)
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.catalog import read_table_names
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.slot import SlotActivity, SlotStatus, read_activity, read_slot
from cdc_sidecar.runtime import preflight
from cdc_sidecar.runtime.state import Phase, StateBoard
from cdc_sidecar.runtime.watch import Danger, Look, Outlook, Stall

INTERVAL: Final = 10.0  # seconds
SHORT_INTERVAL: Final = 2.0  # seconds, while the stream stands still
TICK: Final = 0.5  # seconds in which a stream that begins is noticed


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
        self._outlook = Outlook()
        self._danger = Danger()
        self._stall = Stall(config.publish.split_seconds)
        self._blind = False
        self._looked_at = -math.inf  # time.monotonic() of the last look
        self._session = 0  # the last one that was seen to stream

    def run(self, stopping: threading.Event) -> None:
        """Look every few seconds, and at once when a stream begins, until the daemon stops."""
        while not stopping.wait(TICK):
            if self._is_due():
                self._watch()

    def _is_due(self) -> bool:
        state = self._board.now
        begun = state.phase is Phase.STREAMING and state.session != self._session
        if begun:
            self._session = state.session
        interval = SHORT_INTERVAL if state.stalled else INTERVAL
        return begun or time.monotonic() - self._looked_at >= interval

    def _watch(self) -> None:
        self._looked_at = time.monotonic()
        try:
            self.look()
            self._blind = False
        except RetryError as error:
            if not self._blind:
                self._log.warning("guardian_went_blind", error=error.fact)
            self._blind = True
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
            if slot:
                self._show(slot, read_activity(connection, postgres.slot))
                slot.check_kept()
            if captured:
                preflight.check_publication(connection, self._config)
            now = read_table_names(connection, postgres.publication)
        self._compare(captured, now)

    def _show(self, slot: SlotStatus, activity: SlotActivity) -> None:
        state = self._board.now
        flowing = state.phase is Phase.STREAMING and state.kafka_reachable
        look = Look(time.monotonic(), slot, activity, state.session, flowing, state.commits)
        seconds_left = self._outlook.take(look)
        stalled = self._stall.take(look)
        if self._danger.take(slot, seconds_left):
            self._tell_danger(slot, seconds_left)
        if stalled != state.stalled:
            self._tell_stall(look, stalled=stalled)
        self._metrics.set_slot(slot, activity, seconds_left)
        self._metrics.stalled.set(stalled)
        danger = self._danger.warning(seconds_left)
        stall = "stream_stalled: the slot is not confirmed, though WAL grows and Kafka answers"
        self._board.update(
            slot=slot,
            slot_activity=activity,
            slot_seen_at=time.time(),
            seconds_left=seconds_left,
            stalled=stalled,
            warnings=tuple(filter(None, (danger, stall if stalled else None))),
        )

    def _tell_danger(self, slot: SlotStatus, seconds_left: float) -> None:
        facts = {
            "wal_status": slot.wal_status,
            "retained_bytes": slot.retained_bytes,
            "safe_bytes": slot.safe_wal_size,
            "seconds_left": None if math.isinf(seconds_left) else round(seconds_left),
        }
        if self._danger.state:
            self._log.warning("slot_in_danger", state=self._danger.state, **facts)
        else:
            self._log.info("slot_out_of_danger", **facts)

    def _tell_stall(self, look: Look, *, stalled: bool) -> None:
        walsender = look.activity.walsender
        lag = look.slot.confirmed_lag_bytes
        if stalled:
            event = walsender.wait_event if walsender else None
            self._log.warning("stream_stalled", confirmed_lag_bytes=lag, wait_event=event)
        else:
            self._log.info("stream_moved_on", confirmed_lag_bytes=lag)

    def _compare(self, captured: Mapping[int, str], now: Mapping[int, str]) -> None:
        gone = [name for oid, name in captured.items() if now.get(oid) != name]
        if gone:
            raise PublicationIncomplete(
                f"{', '.join(sorted(gone))} left publication {self._config.postgres.publication}",
                cause="dropped from the publication, renamed, or another put in its place",
                hint="take it out of the configuration, or put it back; then restart",
            )

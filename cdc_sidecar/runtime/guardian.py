"""The guardian: checks the slot, the publication and the captured tables during the stream.

It has a connection of its own and never holds up the stream. The server does not report when a
captured table is dropped from the publication or replaced by another. The guardian reports this as
an error, and it warns of a slot that may soon be lost and of a stream that is stalled.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from cdc_sidecar.checks import preflight
from cdc_sidecar.checks.gaps import check_memberships
from cdc_sidecar.checks.partitions import check_leaves
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import PublicationIncomplete, RetryError, SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import PublishedTable, read_table_names
from cdc_sidecar.postgres.connect import Connection, Database
from cdc_sidecar.postgres.membership import read_memberships
from cdc_sidecar.postgres.partitions import read_leaves
from cdc_sidecar.postgres.slot import SlotActivity, SlotStatus, read_activity, read_slot
from cdc_sidecar.runtime.status import Phase, Status
from cdc_sidecar.runtime.watch import Assessment, Reading, SlotWatch

INTERVAL: Final = 10.0
"""Seconds between two checks: four short queries, and a swapped table is noticed in this time."""
SHORT_INTERVAL: Final = 2.0
"""Seconds between two checks while the stream is stalled: the end of a stall is reported soon."""
TICK: Final = 0.5
"""Seconds between two checks whether a stream has begun."""


class GuardianTelemetry(Protocol):
    """Receives the reports of the guardian."""

    @property
    def now(self) -> Status:
        """The newest snapshot of the status."""

    def guardian_beat(self) -> None:
        """Report that the guardian is at work; called before each check and every half second."""

    def guardian_failed(self, error: SidecarError) -> None:
        """Report that a check failed because Postgres could not be queried."""

    def source_seen(self, reading: Reading, assessment: Assessment) -> None:
        """Report a check of the slot."""


class Guardian:
    """A thread for the life of the daemon; each session names the tables that it captures.

    `captured` returns the tables that the present session captures; `fail` ends the session.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        *,
        captured: Callable[[], Sequence[PublishedTable]],
        fail: Callable[[SidecarError], None],
        telemetry: GuardianTelemetry,
    ) -> None:
        self._config = config
        self._database = database
        self._captured = captured
        self._capture = Capture.of(config)
        self._fail = fail
        self._telemetry = telemetry
        self._watch = SlotWatch(config.publish.split_seconds)
        self._failing = False
        self._looked_at = -math.inf  # time.monotonic() of the last check
        self._session = 0  # the last one that was seen to stream

    def reconfigure(self, config: Config) -> None:
        """Use another configuration of the same source from now on; called by another thread."""
        self._config, self._capture = config, Capture.of(config)

    def run(self, stopping: threading.Event) -> None:
        """Check every few seconds, and at once when a stream begins, until the daemon stops."""
        while not stopping.wait(TICK):
            self._telemetry.guardian_beat()
            if self._is_due():
                self._look_and_report()

    def _is_due(self) -> bool:
        status = self._telemetry.now
        begun = status.phase is Phase.STREAMING and status.session != self._session
        if begun:
            self._session = status.session
        interval = SHORT_INTERVAL if status.stalled else INTERVAL
        return begun or time.monotonic() - self._looked_at >= interval

    def _look_and_report(self) -> None:
        self._looked_at = time.monotonic()
        try:
            self.check()
            self._failing = False
        except SidecarError as error:
            if isinstance(error, RetryError) or error.may_mend:
                self._go_blind(error)
            else:
                self._fail(error)

    def _go_blind(self, error: SidecarError) -> None:
        """Report once that Postgres cannot be queried: the stream has a connection of its own."""
        if not self._failing:
            self._telemetry.guardian_failed(error)
        self._failing = True

    def check(self) -> None:
        """Check once.

        Raises:
            SidecarError: the source cannot be queried, or a captured table was replaced.

        """
        captured = self._captured()
        postgres = self._config.postgres
        with self._database.connection() as connection:
            slot = read_slot(connection, postgres.slot)
            if slot:
                self._report(slot, read_activity(connection, postgres.slot))
                slot.check_kept()
            if captured:
                self._check_captured(connection, captured)

    def _check_captured(self, connection: Connection, captured: Sequence[PublishedTable]) -> None:
        publication = self._config.postgres.publication
        preflight.check_publication(connection, self._config)
        self._compare(captured, read_table_names(connection, publication))
        check_memberships(captured, read_memberships(connection, publication))
        check_leaves(read_leaves(connection, publication), captured, self._capture)

    def _report(self, slot: SlotStatus, activity: SlotActivity) -> None:
        status = self._telemetry.now
        flowing = status.phase is Phase.STREAMING and status.kafka_reachable
        reading = Reading(time.monotonic(), slot, activity, status.session, flowing, status.commits)
        self._telemetry.source_seen(reading, self._watch.observe(reading))

    def _compare(self, captured: Sequence[PublishedTable], now: Mapping[int, str]) -> None:
        relations = (table.relation for table in captured)
        gone = [r.qualified_name for r in relations if now.get(r.oid) != r.qualified_name]
        if gone:
            raise PublicationIncomplete(
                f"{', '.join(sorted(gone))} left publication {self._config.postgres.publication}",
                cause="the table was dropped from the publication, renamed, or replaced by another",
                hint="after a rename, configure the new name, or rename the table back; otherwise"
                " put the table back, or set dropped = true in its block, which publishes its last"
                " rows; then restart",
            )

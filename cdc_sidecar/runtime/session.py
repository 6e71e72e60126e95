"""One life of the stream: lock, examine, claim, stream, end.

Every error that may be temporary ends the session, and the daemon begins another after a back-off.
There is one way to begin and one way to end.
"""

import time
from collections.abc import Sequence
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.checks import preflight
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import schemas_topic
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.ledger import Ledger
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.runtime.activity import origins
from cdc_sidecar.runtime.crash import end_error
from cdc_sidecar.runtime.exposure import expect_published
from cdc_sidecar.runtime.memory import give_back
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.standby import Failure, Standby
from cdc_sidecar.runtime.start import SessionStart
from cdc_sidecar.runtime.status import Phase
from cdc_sidecar.runtime.stream import Started, Stream

BEAT_INTERVAL: Final = 1.0
"""Seconds between two reads of the threads' beats."""


class Session:
    """One session; `run` is called once, by the main thread."""

    def __init__(self, resources: Resources, number: int) -> None:
        self._resources = resources
        self._config = resources.config
        self._number = number
        self._telemetry = resources.telemetry.of_session(number)
        self._capture = Capture.of(resources.config)
        self._failure = Failure()
        self.captured: Sequence[PublishedTable] = ()  # for the guardian; set once streaming
        self.streaming_since: float | None = None  # time.monotonic()

    def fail(self, error: SidecarError) -> None:
        """End the session with an error; the first one counts. Called by any thread."""
        self._failure.report(error)

    def stop(self) -> None:
        """End the session in order. Called by the thread that waits for signals."""
        self._failure.wake()

    def run(self) -> None:
        """Lock, examine, claim, stream, end.

        Raises:
            SidecarError: why the session ended, unless it was asked to stop.

        """
        self._telemetry.phase_entered(Phase.STARTING, self._number)
        connection = ReplicationConnection(self._config.postgres)
        try:
            started = self._start(connection)
            if started:
                self._stream(started)
        finally:
            connection.close()
        self._failure.raise_if_any()

    def _start(self, connection: ReplicationConnection) -> Started | None:
        """Lock, examine and claim; None when asked to stop."""
        standby = Standby(self._resources, self._telemetry, self._number, self._failure)
        if not standby.await_lock(connection):
            return None
        failpoints.reach(Failpoint.AFTER_LOCK)
        if not standby.await_brokers(connection):
            return None
        admin = admin_client(self._config.kafka)
        topics = TopicCatalog(admin, self._config.topics, self._record_topics)
        start = SessionStart(self._resources, self._capture, topics, self._telemetry)
        view = start.examine(connection)
        self._telemetry.source_examined(view.server)
        expect_published(self._telemetry.metrics, view, self._capture)
        failpoints.reach(Failpoint.AFTER_LOOK)
        self._telemetry.phase_entered(Phase.CLAIMING, self._number)
        positioned = start.claim_position(connection)
        failpoints.reach(Failpoint.AFTER_CLAIM)
        return Started(connection, topics, start, view, positioned)

    def _record_topics(self, created: dict[str, str]) -> None:
        """Record topics that were just created, with their ids; called by any thread."""
        self._telemetry.topics_created(created)
        Ledger(self._config.kafka, schemas_topic(self._config.service.name)).write(created)

    def _stream(self, started: Started) -> None:
        """Let both threads run until the session ends."""
        stream = Stream(
            started, self._resources, self._capture, self._telemetry, self._failure.report
        )
        try:
            stream.open()
            self._begin(started, stream)
            stream.start(self._number)
            self._await_end(stream)
            self._telemetry.phase_entered(Phase.STOPPING, self._number)
            stream.stop()
            self._failure.judge(self._resources, started.connection.backend_pid)
            stream.end()
        finally:
            stream.close()

    def _begin(self, started: Started, stream: Stream) -> None:
        """Show that the stream flows, and tell the guardian which tables to watch."""
        self.captured = preflight.captured(started.view.tables, self._capture)
        self.streaming_since = time.monotonic()
        found = origins(self._config, self._capture, started.view.tables)
        self._telemetry.board.activity.expect(found)
        self._telemetry.stream_began(stream.backlog)
        self._telemetry.phase_entered(Phase.STREAMING, self._number)
        self._resources.runs.streaming()
        self._telemetry.log.info(
            "stream_started",
            position=format_lsn(started.position.end_lsn),
            slot=self._config.postgres.slot,
        )
        give_back()

    def _await_end(self, stream: Stream) -> None:
        """Wait until a thread fails or a person stops the sidecar."""
        if self._resources.stopping.is_set():  # the stop came before this session
            self.stop()
        ended: str | None = None
        while not self._failure.await_wake(BEAT_INTERVAL):
            self._telemetry.beat_seen(stream.beat, stream.publisher_beat)
            before, ended = ended, stream.ended_thread
            if before and ended:  # it has had a second to say why
                self.fail(end_error(ended))

"""The stream of a session: reader, queue and publisher, created in an order without cycles.

Each part is created after the parts that it needs. The order is the handover, the upkeep of the
connection, the catalog (it calls the upkeep while it waits), the assembler (it asks the catalog),
and the two threads.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.checks import preflight
from cdc_sidecar.checks.gaps import known
from cdc_sidecar.checks.history import check_history
from cdc_sidecar.checks.snapshot_jobs import plan_snapshots
from cdc_sidecar.checks.source_view import SourceView
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.assembler import Assembler
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.outbox.event_types import register_schemas
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.schemas import read_schemas
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.postgres.connect import Connection, Database
from cdc_sidecar.postgres.outbox_rows import read_next_xid
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.postgres.sentinel import Sentinel
from cdc_sidecar.postgres.slot import read_slot
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue, Handover
from cdc_sidecar.runtime.lookup import Lookup, StreamCatalog
from cdc_sidecar.runtime.prune_report import PruneReport
from cdc_sidecar.runtime.pruner import Pruner, pruned_outboxes
from cdc_sidecar.runtime.publisher import PositionedProducer, Publisher, Publishing
from cdc_sidecar.runtime.replicator import Replicator
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.snapshot_report import SnapshotReport
from cdc_sidecar.runtime.snapshot_requests import SnapshotRequests
from cdc_sidecar.runtime.snapshot_schedule import SnapshotSchedule
from cdc_sidecar.runtime.snapshotter import Snapshotter
from cdc_sidecar.runtime.start import SessionStart
from cdc_sidecar.runtime.telemetry import Telemetry
from cdc_sidecar.runtime.upkeep import Upkeep

_REPLICATION_SHARE: Final = 0.8
"""The part of the grace period in which the replication thread waits for the publisher: the rest is
for the end of the copy, so that the slot is free when the process ends."""


@dataclass(frozen=True, slots=True)
class Started:
    """The objects that a session owns after it has claimed the position."""

    connection: ReplicationConnection
    topics: TopicCatalog
    start: SessionStart
    view: SourceView
    positioned: PositionedProducer

    @property
    def position(self) -> Position:
        """Where the stream begins."""
        position = self.positioned.record.position
        assert position is not None  # noqa: S101 - a claim never returns a mere intent
        return position


class Stream:
    """Both threads of a session and what they share; used by the main thread."""

    def __init__(
        self,
        started: Started,
        resources: Resources,
        capture: Capture,
        telemetry: Telemetry,
        fail: Callable[[SidecarError], None],
    ) -> None:
        """Create everything; nothing streams yet. `fail` is called with an error of a thread.

        Raises:
            SidecarError: Postgres or Kafka is not available, or schemas cannot be read.

        """
        self._started = started
        self._config = resources.config
        self._telemetry = telemetry
        self._grace = resources.config.shutdown.grace
        self._ending = threading.Event()
        self._released = threading.Event()
        self._end_by = 0.0  # time.monotonic() of the end of the grace period
        self._threads: tuple[threading.Thread, ...] = ()
        self.backlog = Backlog()
        self._snapshotter: Snapshotter | None = None
        with ExitStack() as opened:
            opened.callback(self._drop_unused_producer)
            self._open_connections(resources, opened)
            self._fail = fail
            self._replicator = Replicator(
                started.connection,
                self._assembler(resources, capture),
                self._handover,
                self._upkeep,
                stopping=self._ending,
                fail=fail,
            )
            self._publisher = self._make_publisher(resources, capture, fail)
            self._pruner = self._make_pruner(opened, fail)
            self._opened = opened.pop_all()

    def _drop_unused_producer(self) -> None:
        """Drop the claimed producer, unless the publisher thread owns it."""
        if not self._threads:
            self._started.positioned.producer.drop()

    def _open_connections(self, resources: Resources, opened: ExitStack) -> None:
        """Open what the threads share; `opened` closes it."""
        started, postgres = self._started, self._config.postgres
        sentinel = Sentinel(postgres)
        opened.callback(sentinel.close)  # after the lookup, which may still be renewing it
        self._lookup = Lookup(resources.database, started.topics)
        opened.callback(self._lookup.close)
        acknowledgement = Acknowledgement(started.position.end_lsn)
        opened.callback(acknowledgement.close)
        queue = BatchQueue(self._config.publish.max_queue_bytes, self.backlog)
        self._handover = Handover(queue, acknowledgement)
        self._upkeep = Upkeep(
            started.connection,
            acknowledgement,
            started.view.server.wal_sender_timeout,
            sentinel,
            self._lookup.renew,
        )

    def _assembler(self, resources: Resources, capture: Capture) -> Assembler:
        started, service = self._started, self._config.service.name
        examined = {table.relation: table.facts for table in started.view.tables}
        assembler = Assembler(
            Source(resources.version, service, started.view.server.database),
            capture,
            self._schema_log(resources, capture),
            started.position,
            StreamCatalog(examined, started.topics, self._lookup, self._upkeep, self._ending),
            clock=lambda: time.time_ns() // 1000,
        )
        window = assembler.watch(
            self._jobs.states,
            started.start.internal.schemas,
            notify=self._config.notifications.topic,
        )
        self._snapshotter = self._make_snapshotter(window, resources.requests)
        return assembler

    def _make_snapshotter(self, window: SnapshotWindow, requests: SnapshotRequests) -> Snapshotter:
        telemetry, acknowledgement = self._telemetry, self._handover.acknowledgement
        report = SnapshotReport(
            telemetry.log, telemetry.metrics.snapshot, telemetry.board.snapshots
        )
        report.snapshots_opened((*self._jobs.states, *self._jobs.incomplete))
        schedule = SnapshotSchedule(
            self._jobs.tables,
            self._jobs.names,
            window,
            requests,
            lambda: acknowledgement.lsn,
            report.snapshot_changed,
        )
        return Snapshotter(
            self._config.postgres,
            self._config.snapshot,
            schedule,
            window,
            report,
            self.backlog.lag,
            self._fail,
        )

    def _schema_log(self, resources: Resources, capture: Capture) -> SchemaLog:
        """Load the schemas topic, compare the tables with it, and note how they are now."""
        schemas, started = SchemaLog(), self._started
        for key, value in read_schemas(self._config):
            self._telemetry.main_beat()
            schemas.load(key, value)
            resources.served.load(key, value)
        captured = preflight.captured(started.view.tables, capture)
        check_history(captured, capture, schemas)
        register_schemas(capture.outboxes, schemas.subjects, schemas.registry)
        schemas.tables.note_all(map(known, captured), self._read_next_xid(resources))
        self._since = schemas.tables.since
        self._jobs = plan_snapshots(captured, capture, self._config.snapshot, schemas.snapshots)
        changed = schemas.drain()
        if changed:
            started.start.remember(started.positioned, changed)
            for key, value in changed:
                resources.served.load(key, value)
        resources.served.complete = True
        return schemas

    def _read_next_xid(self, resources: Resources) -> int:
        """Return the transaction id from which on rows of new outboxes are published."""
        if not self._config.outbox_tables:
            return 0
        with resources.database.connection() as connection:
            return read_next_xid(connection)

    def _make_publisher(
        self, resources: Resources, capture: Capture, fail: Callable[[SidecarError], None]
    ) -> Publisher:
        started, internal = self._started, self._started.start.internal
        served = resources.served
        return Publisher(
            started.positioned,
            started.start,
            Publishing(self._config.publish, capture.fingerprint, internal, served.load),
            self._handover,
            self.backlog,
            self._telemetry,
            fail,
        )

    def _make_pruner(
        self, opened: ExitStack, fail: Callable[[SidecarError], None]
    ) -> Pruner | None:
        """Return the pruner, with a connection of its own: others must not wait for a batch."""
        outboxes = pruned_outboxes(self._config.outboxes, self._since)
        if not outboxes:
            return None
        database = Database(self._config.postgres)
        opened.callback(database.close)
        telemetry, acknowledgement = self._telemetry, self._handover.acknowledgement
        report = PruneReport(telemetry.log, telemetry.metrics.outbox)
        return Pruner(
            outboxes, database, self._is_streamed, lambda: acknowledgement.lsn, report, fail
        )

    def _is_streamed(self, connection: Connection) -> bool:
        """Return whether a connection leads to the server that the stream comes from."""
        slot = read_slot(connection, self._config.postgres.slot)
        return slot is not None and slot.active_pid == self._started.connection.backend_pid

    @property
    def beat(self) -> float:
        """When the replication thread was last at work, in seconds since 1970."""
        return time.time() - (time.monotonic() - self._upkeep.beat)

    @property
    def publisher_beat(self) -> float:
        """When the publisher was last at work, on the monotonic clock."""
        return self._publisher.beat

    @property
    def ended_thread(self) -> str | None:
        """The name of a thread that has ended, if one has."""
        return next((thread.name for thread in self._threads if not thread.is_alive()), None)

    def open(self) -> None:
        """Start replication at the position.

        Raises:
            SidecarError: the server refuses.

        """
        postgres = self._config.postgres
        position = self._started.position.end_lsn
        self._started.connection.start(postgres.slot, position, postgres.publication)
        failpoints.reach(Failpoint.AFTER_START_REPLICATION)

    def start(self, number: int) -> None:
        """Start both threads; `number` is the session's."""
        self._threads = (
            threading.Thread(
                target=self._replicator.run,
                args=(self._released, self._grace * _REPLICATION_SHARE),
                name=f"replication-{number}",
                daemon=True,
            ),
            threading.Thread(target=self._publisher.run, name=f"publisher-{number}", daemon=True),
        )
        for thread in self._threads:
            thread.start()
        if self._snapshotter:
            name = f"snapshot-{number}"
            threading.Thread(target=self._snapshotter.run, name=name, daemon=True).start()
        if self._pruner:
            name = f"prune-{number}"
            threading.Thread(target=self._pruner.run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Read nothing more, and let the publisher finish; slot and lock are kept until `end`."""
        self._ending.set()
        if self._snapshotter:
            self._snapshotter.stop()
        if self._pruner:
            self._pruner.stop()
        self._handover.acknowledgement.wake()  # an idle replication thread sleeps up to a second
        self._end_by = time.monotonic() + self._grace
        _, publishing = self._threads
        self._join(publishing, time.monotonic() + self._grace * _REPLICATION_SHARE)

    def end(self) -> None:
        """After `stop`: free slot and lock, and abandon the publisher after the grace period."""
        self._released.set()
        for thread in self._threads:
            self._join(thread, self._end_by)
        self._publisher.abandon()

    def _join(self, thread: threading.Thread, until: float) -> None:
        """Wait for the end of a thread until a time of `time.monotonic`."""
        while thread.is_alive() and (left := until - time.monotonic()) > 0:
            self._telemetry.main_beat()
            thread.join(min(left, 1.0))

    def close(self) -> None:
        """Free what the threads have used."""
        self._opened.close()

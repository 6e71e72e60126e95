"""The stream of a session: reader, queue and publisher, made in an order without cycles.

What a part needs is made before it: the handover, the upkeep of the connection, the catalog that
waits by the upkeep, the assembler that asks the catalog, and then the two threads.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.assembler import Assembler
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.read import committed_reader, high_watermark, read_records
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.postgres.sentinel import Sentinel
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue, Handover
from cdc_sidecar.runtime.lookup import Lookup, StreamCatalog
from cdc_sidecar.runtime.publisher import Claimed, Publisher, Publishing
from cdc_sidecar.runtime.replicator import Replicator
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.start import SessionStart, View
from cdc_sidecar.runtime.telemetry import Telemetry
from cdc_sidecar.runtime.upkeep import Upkeep

_REPLICATION_SHARE: Final = 0.8
"""The part of the grace period in which the replication thread waits for the publisher: the rest is
for the end of the copy, so that the slot is free when the process ends."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a session owns once it has claimed the position."""

    connection: ReplicationConnection
    topics: TopicCatalog
    start: SessionStart
    view: View
    claimed: Claimed

    @property
    def position(self) -> Position:
        """Where the stream begins."""
        position = self.claimed.record.position
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
        """Make everything; nothing streams yet. `fail` is called with what ends a thread.

        Raises:
            SidecarError: Postgres or Kafka is not available, or schemas cannot be read.

        """
        config = resources.config
        self._started = started
        self._config = config
        self._telemetry = telemetry
        self._ending = threading.Event()
        self.backlog = Backlog()
        self._lookup = Lookup(resources.database, started.topics)
        self._sentinel = Sentinel(config.postgres)
        self._handover = Handover(
            BatchQueue(config.publish.max_queue_bytes, self.backlog),
            Acknowledgement(started.position.end_lsn),
        )
        self._upkeep = Upkeep(
            started.connection,
            self._handover.acknowledgement,
            started.view.server.wal_sender_timeout,
            self._sentinel,
            self._lookup.renew,
        )
        self._replicator = Replicator(
            started.connection,
            self._assembler(resources, capture),
            self._handover,
            self._upkeep,
            stopping=self._ending,
            fail=fail,
        )
        self._publisher = self._make_publisher(resources, capture, fail)
        self._threads: tuple[threading.Thread, ...] = ()

    def _assembler(self, resources: Resources, capture: Capture) -> Assembler:
        started, service = self._started, self._config.service.name
        subjects = self._load_subjects(resources)
        capture.check_keys({table.relation: table.facts for table in started.view.tables}, subjects)
        catalog = StreamCatalog(
            started.view.tables, started.topics, self._lookup, self._upkeep, self._ending
        )
        return Assembler(
            Source(resources.version, service, started.view.server.database),
            capture,
            subjects,
            started.position,
            read_facts=catalog.layout_facts,
            topic_facts=catalog.topic_facts,
            clock=lambda: time.time_ns() // 1000,
        )

    def _load_subjects(self, resources: Resources) -> Subjects:
        """Read schemas and layouts as the earlier sessions committed them."""
        subjects, topic = Subjects(), self._started.start.internal.schemas
        high = high_watermark(admin_client(self._config.kafka), topic)
        reader = committed_reader(self._config.kafka)
        try:
            for key, value in read_records(reader, topic, 0, high):
                subjects.load(key, value)
                resources.served.load(key, value)
        finally:
            reader.close()
        return subjects

    def _make_publisher(
        self, resources: Resources, capture: Capture, fail: Callable[[SidecarError], None]
    ) -> Publisher:
        publishing = Publishing(
            self._config.publish,
            capture.fingerprint,
            self._started.start.internal,
            resources.served.load,
        )
        return Publisher(
            self._started.claimed,
            self._started.start,
            publishing,
            self._handover,
            self.backlog,
            self._telemetry,
            fail,
        )

    @property
    def beat(self) -> float:
        """When the replication thread was last at work, in seconds since 1970."""
        return time.time() - (time.monotonic() - self._upkeep.beat)

    def open(self) -> None:
        """Let the server send from the position on.

        Raises:
            SidecarError: it does not.

        """
        postgres = self._config.postgres
        position = self._started.position.end_lsn
        self._started.connection.start(postgres.slot, position, postgres.publication)
        failpoints.reach(Failpoint.AFTER_START_REPLICATION)

    def start(self, number: int) -> None:
        """Start both threads; `number` is the session's."""
        grace = self._config.shutdown.grace * _REPLICATION_SHARE
        self._threads = (
            threading.Thread(
                target=self._replicator.run,
                args=(self._publisher.finished, grace),
                name=f"replication-{number}",
                daemon=True,
            ),
            threading.Thread(target=self._publisher.run, name=f"publisher-{number}", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ask both threads to end, wait for the grace period, and then give the publisher up."""
        self._ending.set()
        deadline = time.monotonic() + self._config.shutdown.grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._publisher.abandon()

    def close(self) -> None:
        """Free what the threads have used."""
        if not self._threads:
            self._started.claimed.producer.drop()
        self._lookup.close()
        self._sentinel.close()
        self._handover.acknowledgement.close()

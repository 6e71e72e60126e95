"""One life of the stream: lock, look, claim, stream, end.

Every trouble that may pass ends the session; the daemon begins a new one after a back-off. There is
one way to begin and one way to end.
"""

import threading
import time
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.errors import ProducerFenced, RivalTookOver, SidecarError
from cdc_sidecar.events.assembler import Assembler
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.names import schemas_topic
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.ledger import Ledger
from cdc_sidecar.kafka.topics import Topics
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.replication import ReplicationConnection, lock_key
from cdc_sidecar.postgres.sentinel import Sentinel
from cdc_sidecar.postgres.slot import holds_lock, lock_holder
from cdc_sidecar.postgres.types import LayoutFacts
from cdc_sidecar.runtime import preflight
from cdc_sidecar.runtime.claim import Claim, Claimant, View
from cdc_sidecar.runtime.handover import Acknowledgement, BatchQueue
from cdc_sidecar.runtime.lookup import Lookup
from cdc_sidecar.runtime.memory import give_back
from cdc_sidecar.runtime.publisher import Publisher
from cdc_sidecar.runtime.replicator import Replicator
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.state import Phase

LOCK_POLL: Final = 0.3  # seconds between two tries for the lock
BROKER_POLL: Final = 0.5  # seconds between two questions whether a broker answers


class Session:
    """One session; `run` is called once, by the main thread."""

    def __init__(self, resources: Resources, number: int) -> None:
        self._resources = resources
        self._config = resources.config
        self._number = number
        self._log = resources.log.bind(session=number)
        self._capture = Capture.of(resources.config)
        self._ending = threading.Event()  # asked to stop, or failed
        self._error: SidecarError | None = None
        self._lock = threading.Lock()
        self.captured: dict[int, str] = {}  # oid → name, for the guardian; set once streaming
        self.streaming_since: float | None = None

    def fail(self, error: SidecarError) -> None:
        """End the session with an error; the first one counts. Called by any thread."""
        with self._lock:
            self._error = self._error or error
        self._ending.set()

    def stop(self) -> None:
        """End the session in order. Called by the main thread."""
        self._ending.set()

    def run(self) -> None:
        """Lock, look, claim, stream, end.

        Raises:
            SidecarError: why it ended, unless it was asked to stop.

        """
        self._enter(Phase.STARTING)
        connection = ReplicationConnection(self._config.postgres)
        try:
            if not self._wait_for_lock(connection):
                return
            failpoints.reach(Failpoint.AFTER_LOCK)
            ledger = Ledger(self._config.kafka, schemas_topic(self._config.service.name))
            admin = admin_client(self._config.kafka)
            topics = Topics(admin, self._config.topics, ledger.write)
            if not self._wait_for_brokers(connection, topics):
                return
            claimant = Claimant(self._resources, self._capture, topics, self._log)
            view = claimant.look(connection)
            failpoints.reach(Failpoint.AFTER_LOOK)
            self._enter(Phase.CLAIMING)
            claim = claimant.claim(connection, view)
            failpoints.reach(Failpoint.AFTER_CLAIM)
            self._stream(connection, topics, claimant, view, claim)
        finally:
            connection.close()
        if self._error:
            raise self._error

    def _wait_for_lock(self, connection: ReplicationConnection) -> bool:
        """Take the lock, waiting while another holds it; False when asked to stop."""
        key = lock_key(self._config.postgres.slot)
        behind: int | None = None
        while not connection.try_lock(key):
            if self._error:
                raise self._error
            if behind is None or behind in self._resources.walsenders:
                behind = self._look_behind_whom(key, behind)
            if self._resources.stopping.wait(LOCK_POLL):
                return False
        if behind is not None:
            self._log.info("standby_left", reason="the lock is free")
            self._resources.board.update(error=None)
        self._resources.walsenders.add(connection.backend_pid)
        return True

    def _look_behind_whom(self, key: int, before: int | None) -> int | None:
        """Say for whom we wait: behind a sidecar that works we are ready, behind a ghost not.

        Raises:
            RivalTookOver: we held the lock once, and another sidecar has it now.

        """
        former = self._resources.walsenders
        with self._resources.database.connection() as ordinary:
            holder = lock_holder(ordinary, key)
        if holder is None or holder == before:
            return holder
        if holder in former:
            self._log.warning("former_walsender_awaited", pid=holder)
            ghost = f"our former walsender, process {holder} of the server, still holds the lock"
            self._resources.board.update(error=ghost)
        elif former:
            raise _taken_over(f"process {holder} of the server holds the lock")
        else:
            self._enter(Phase.WAITING)
            self._log.info("standby_entered", reason="another sidecar holds the lock", pid=holder)
        return holder

    def _wait_for_brokers(self, connection: ReplicationConnection, topics: Topics) -> bool:
        """Wait, holding the lock, until a broker answers; False when asked to stop."""
        away = False
        while not topics.brokers_answer():
            if self._error:
                raise self._error
            connection.identify_system()  # raises when Postgres goes away meanwhile
            if not away:
                away = True
                self._log.warning("kafka_awaited")
                self._resources.board.update(
                    kafka_reachable=False, error="no Kafka broker answers; waiting"
                )
            if self._resources.stopping.wait(BROKER_POLL):
                return False
        if away:
            self._resources.board.update(error=None)
        return True

    def _stream(
        self,
        connection: ReplicationConnection,
        topics: Topics,
        claimant: Claimant,
        view: View,
        claim: Claim,
    ) -> None:
        """Wire reader, queue and publisher together, and let them run until the session ends."""
        start = claim.position.end_lsn
        acknowledgement = Acknowledgement(start)
        lookup = Lookup(self._resources.database, topics)
        sentinel = Sentinel(self._config.postgres)
        try:
            queue = BatchQueue(self._config.publish.max_queue_bytes)
            replicator = Replicator(
                connection,
                queue,
                acknowledgement,
                wal_sender_timeout=view.server.wal_sender_timeout,
                sentinel=sentinel,
                lookup=lookup,
                stopping=self._ending,
                fail=self.fail,
            )
            replicator.assembler = self._assembler(
                claimant, claim, view, _Lookups(view, topics, lookup, replicator)
            )
            publisher = self._publisher(claimant, claim, queue, acknowledgement, connection)
            postgres = self._config.postgres
            connection.start(postgres.slot, start, postgres.publication)
            failpoints.reach(Failpoint.AFTER_START_REPLICATION)
            self._resources.metrics.queue_bytes.set_function(lambda: queue.size)
            self._begin(view, publisher)
            self._log.info("stream_started", position=format_lsn(start), slot=postgres.slot)
            give_back()
            self._run_threads(replicator, publisher)
        finally:
            lookup.close()
            sentinel.close()
            acknowledgement.close()

    def _assembler(
        self, claimant: Claimant, claim: Claim, view: View, lookups: "_Lookups"
    ) -> Assembler:
        schemas = claimant.load_schemas()
        self._capture.check_keys({t.relation: t.facts for t in view.tables}, schemas.layouts)
        return Assembler(
            Source(self._resources.version, self._config.service.name, view.server.database),
            self._capture,
            schemas,
            claim.position,
            lookups,
            clock=lambda: time.time_ns() // 1000,
        )

    def _publisher(
        self,
        claimant: Claimant,
        claim: Claim,
        queue: BatchQueue,
        acknowledgement: Acknowledgement,
        connection: ReplicationConnection,
    ) -> Publisher:
        return Publisher(
            claim,
            config=self._config.publish,
            fingerprint=self._capture.fingerprint,
            topics=claimant.internal,
            queue=queue,
            acknowledgement=acknowledgement,
            reclaim=claimant.reclaim,
            brokers_answer=claimant.brokers_answer,
            load_schema=self._resources.registry.load,
            fail=lambda error: self.fail(self._judge(error, connection.backend_pid)),
            board=self._resources.board,
            metrics=self._resources.metrics,
            log=self._log,
        )

    def _begin(self, view: View, publisher: Publisher) -> None:
        """Show that the stream flows, and tell the guardian which tables to watch."""
        tables = preflight.captured(view.tables, self._capture)
        self.captured = {table.relation.oid: table.relation.qualified_name for table in tables}
        self.streaming_since = time.monotonic()
        self._resources.metrics.lag_seconds.set_function(publisher.lag)
        self._resources.metrics.streaming.set(1)
        self._enter(Phase.STREAMING)

    def _run_threads(self, replicator: Replicator, publisher: Publisher) -> None:
        """Run both threads until the session ends; then give them the grace period."""
        grace = self._config.shutdown.grace
        publishing = threading.Thread(
            target=publisher.run, name=f"publisher-{self._number}", daemon=True
        )
        replicating = threading.Thread(
            target=replicator.run,
            args=(publisher.finished, grace * 0.8),
            name=f"replication-{self._number}",
            daemon=True,
        )
        if self._resources.stopping.is_set():  # asked before there was a session to tell
            self.stop()
        publishing.start()
        replicating.start()
        while not self._ending.wait(1.0):
            seen = time.time() - (time.monotonic() - replicator.beat)
            self._resources.board.update(beat=seen)
        self._enter(Phase.STOPPING)
        self._resources.metrics.streaming.set(0)
        deadline = time.monotonic() + grace
        for thread in (replicating, publishing):
            thread.join(max(0.0, deadline - time.monotonic()))
        publisher.abandon()

    def _judge(self, error: SidecarError, backend_pid: int) -> SidecarError:
        """Tell a rival that took our lock from a broker that timed our transaction out."""
        if not isinstance(error, ProducerFenced):
            return error
        self._resources.metrics.fences.inc()
        try:
            with self._resources.database.connection() as ordinary:
                if holds_lock(ordinary, backend_pid):
                    return error
        except SidecarError as unknown:
            return unknown
        return _taken_over(error.fact)

    def _enter(self, phase: Phase) -> None:
        now = time.time()
        self._resources.board.update(phase=phase, phase_since=now, beat=now, session=self._number)


def _taken_over(fact: str) -> RivalTookOver:
    return RivalTookOver(
        fact,
        cause="our session on Postgres ended while we stood still, and another began",
        hint="nothing: the other one publishes; restarting makes this one the standby",
    )


class _Lookups:
    """Answers what the assembler asks in mid-stream: known already, or fetched by the lookup."""

    def __init__(self, view: View, topics: Topics, lookup: Lookup, replicator: Replicator) -> None:
        self._looked = {table.relation: table.facts for table in view.tables}
        self._topics = topics
        self._lookup = lookup
        self._replicator = replicator

    def layout_facts(self, relation: Relation) -> LayoutFacts:
        """Return what the catalog says about a relation layout."""
        known = self._looked.get(relation)
        return known or self._replicator.ask(self._lookup.facts(relation))

    def topic_facts(self, name: str) -> TopicFacts:
        """Return the facts of a topic."""
        return self._topics.facts(name) or self._replicator.ask(self._lookup.topic(name))

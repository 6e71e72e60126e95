"""The inspection behind `check`: tries the source and Kafka live, without claiming anything."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from cdc_sidecar.checks import preflight
from cdc_sidecar.checks.continuity import Continuity, SourceState
from cdc_sidecar.checks.source import identity_of
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    KafkaUnavailable,
    PermissionMissing,
    PositionMissing,
    SidecarError,
    SlotMissing,
    TopicMissing,
)
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.kafka.claim import read_current_position
from cdc_sidecar.kafka.client import admin_client, ask_brokers
from cdc_sidecar.kafka.position import PositionRecord
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.kafka.topic import Topic
from cdc_sidecar.kafka.topics import DEFAULT_LIMIT, TopicCatalog
from cdc_sidecar.postgres.catalog import Publication, PublishedTable, read_published_tables
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.server import SourceServer, check_version, read_server
from cdc_sidecar.postgres.slot import SlotStatus, read_slot
from cdc_sidecar.postgres.walsender import SystemIdentity, WalsenderConnection

T = TypeVar("T")

_FENCE_TIMEOUT = 20.0
"""Seconds for the trial transaction: a person waits for `check`, and no earlier one is open."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: the subject, what was seen, and the error if it is a fault."""

    subject: str
    detail: str
    error: SidecarError | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the finding for `--json`."""
        error = self.error
        return {
            "check": self.subject,
            "ok": error is None,
            "detail": self.detail if error is None else error.fact,
            "code": error.code if error else None,
            "hint": error.hint if error else None,
        }


class Inspection:
    """One run of all checks. A check that builds on one that has failed is left out."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._capture = Capture.of(config)
        self._database = Database(config.postgres)
        self._findings: list[Finding] = []
        self._server: SourceServer | None = None
        self._system: SystemIdentity | None = None
        self._publication: Publication | None = None
        self._tables: tuple[PublishedTable, ...] | None = None
        self._slot: SlotStatus | None = None
        self._slot_is_unfit = False
        self._record: PositionRecord | None = None
        self._history: dict[int, Lsn] = {}

    def run(self) -> Iterator[Finding]:
        """Yield the finding of each check, a group at a time."""
        try:
            for look in (self._look_at_postgres, self._look_at_kafka, self._look_at_both):
                look()
                yield from self._findings
                self._findings.clear()
        finally:
            self._database.close()

    def _try(self, subject: str, look: Callable[[], T], say: Callable[[T], str]) -> T | None:
        """Run one check and keep its finding."""
        try:
            seen = look()
        except SidecarError as error:
            self._findings.append(Finding(subject, "", error))
            return None
        self._findings.append(Finding(subject, say(seen)))
        return seen

    # --- Postgres

    def _look_at_postgres(self) -> None:
        server = self._try("connection", self._read_server, _say_server)
        if server is None:
            return
        self._server = server
        self._look_at_server(server)
        self._publication = self._try(
            "publication", self._read_publication, lambda seen: f"{seen.name} sends every operation"
        )
        if self._publication:
            self._tables = self._try("published tables", self._read_tables, _say_tables)
        if self._tables is not None:
            self._look_at_tables(self._tables)
        self._slot = self._try("slot", self._check_slot, self._say_slot)
        error = self._findings[-1].error
        self._slot_is_unfit = error is not None and not isinstance(error, SlotMissing)

    def _look_at_server(self, server: SourceServer) -> None:
        self._try("version", lambda: check_version(server), lambda _: str(server.version))
        self._try("wal_level", lambda: preflight.check_wal_level(server), lambda _: "logical")
        self._try(
            "role", lambda: preflight.check_role(server), lambda _: f"{server.user} replicates"
        )
        self._system = self._try(
            "replication", self._identify, lambda seen: f"at {format_lsn(seen.flushed_lsn)}"
        )

    def _look_at_tables(self, tables: tuple[PublishedTable, ...]) -> None:
        count = len(preflight.captured(tables, self._capture))
        self._try(
            "configured tables",
            lambda: preflight.check_tables(tables, self._config, self._capture),
            lambda _: f"{count} captured, keys and types fit",
        )
        self._try("grants", lambda: self._check_grants(tables), lambda _: "SELECT on every table")

    def _read_server(self) -> SourceServer:
        with self._database.connection() as connection:
            return read_server(connection)

    def _identify(self) -> SystemIdentity:
        connection = WalsenderConnection(self._config.postgres)
        try:
            if self._server:
                preflight.check_primary(connection, self._server)
            system = connection.identify_system()
            self._history = connection.timeline_history(system.timeline)
            return system
        finally:
            connection.close()

    def _read_publication(self) -> Publication:
        with self._database.connection() as connection:
            return preflight.check_publication(connection, self._config)

    def _read_tables(self) -> tuple[PublishedTable, ...]:
        with self._database.connection() as connection:
            return read_published_tables(connection, self._config.postgres.publication)

    def _check_grants(self, tables: tuple[PublishedTable, ...]) -> None:
        hidden = [
            table.relation.qualified_name
            for table in preflight.captured(tables, self._capture)
            if not table.may_select
        ]
        if hidden:
            raise PermissionMissing(
                f"no SELECT on {', '.join(hidden)}",
                hint="; ".join(f"GRANT SELECT ON {name} TO the sidecar's role" for name in hidden),
            )

    def _check_slot(self) -> SlotStatus | None:
        with self._database.connection() as connection:
            slot = read_slot(connection, self._config.postgres.slot)
        if slot is None and not self._config.postgres.create_slot:
            raise SlotMissing(
                f"slot {self._config.postgres.slot} does not exist",
                hint="run what `cdc-sidecar setup-sql` prints, or set create_slot = true",
            )
        if slot and self._server:
            slot.check(self._server.database)
        return slot

    def _say_slot(self, slot: SlotStatus | None) -> str:
        if slot is None:
            return "none yet: it is created at the first start"
        use = f"read by process {slot.active_pid}" if slot.active_pid else "not in use"
        return f"{slot.name}, {slot.wal_status}, {slot.retained_bytes or 0:,} bytes retained, {use}"

    # --- Kafka

    def _look_at_kafka(self) -> None:
        topics = self._try(
            "brokers", self._open_topics, lambda _: self._config.kafka.bootstrap_servers
        )
        if topics is None:
            return
        self._look_at_topics(topics)
        self._try("transactions", self._try_transactions, lambda name: f"allowed (tried as {name})")
        self._record = self._try("position", self._read_position, _say_position)

    def _look_at_topics(self, topics: TopicCatalog) -> None:
        service = self._config.service.name
        for name in (position_topic(service), schemas_topic(service)):
            self._try(f"topic {name}", partial(self._check_internal, topics, name), _say_topic)
        if self._tables is None:
            return
        for name in preflight.event_topics(self._tables, self._config, self._capture):
            self._try(f"topic {name}", partial(self._check_topic, topics, name), _say_topic)
        self._try("null keys", lambda: self._check_null_keys(topics), lambda _: "fit every topic")

    def _open_topics(self) -> TopicCatalog:
        with suppress(KafkaUnavailable):  # brokers that are only slow get more time below
            ask_brokers(self._config.kafka)
        topics = TopicCatalog(admin_client(self._config.kafka), self._config.topics)
        topics.describe([])
        return topics

    def _check_internal(self, topics: TopicCatalog, name: str) -> Topic | None:
        if name in topics.describe([name]):
            topics.ensure_internal([name])
        return self._check_topic(topics, name)

    def _check_topic(self, topics: TopicCatalog, name: str) -> Topic | None:
        topic = topics.describe([name]).get(name)
        if topic is None and not self._config.topics.create:
            raise TopicMissing(name, hint="create it, or set [topics] create = true")
        return topic

    def _check_null_keys(self, topics: TopicCatalog) -> None:
        if self._tables is None or self._publication is None:
            return
        names = preflight.event_topics(self._tables, self._config, self._capture)
        described = topics.describe(names)
        preflight.check_null_keys(self._tables, described, self._capture, self._publication)

    def _try_transactions(self) -> str:
        """Begin and end an empty transaction under an id that no sidecar uses."""
        name = f"{self._config.transactional_id}.check"
        settings = producer_settings(
            self._config.kafka,
            self._config.publish,
            name,
            smallest=DEFAULT_LIMIT,
        )
        producer = TransactionalProducer(settings)
        producer.fence(lambda: False, deadline=_FENCE_TIMEOUT)
        producer.begin()
        producer.commit()
        return name

    def _read_position(self) -> PositionRecord | None:
        return read_current_position(self._config)

    # --- both

    def _look_at_both(self) -> None:
        server, record = self._server, self._record
        if server is None or self._system is None:
            return
        if record is None or record.position is None:
            if self._slot and self._record is None:
                self._try("first start", self._refuse_first_start, lambda _: "")
            return
        # read again: a running sidecar may have published beyond the end that was read first
        system = self._try("WAL", self._identify, lambda seen: format_lsn(seen.flushed_lsn))
        if system:
            identity = identity_of(system, server, self._config)
            source = SourceState(identity, self._slot, system.flushed_lsn, self._history)
            self._judge(Continuity(record, source))

    def _judge(self, seen: Continuity) -> None:
        identity = seen.source.identity
        self._try(
            "identity",
            lambda: _refuse(seen.mismatch),
            lambda _: f"system {identity.system_identifier}, timeline {identity.timeline}",
        )
        if seen.mismatch is None and not self._slot_is_unfit:
            self._try(
                "continuity",
                lambda: _refuse(seen.fault(self._capture.fingerprint)),
                lambda _: "the slot and the position fit together",
            )

    def _refuse_first_start(self) -> None:
        raise PositionMissing(
            f"slot {self._config.postgres.slot} exists, but there is no position",
            cause="a first start on a slot created by hand, or the position topic was lost",
            hint="for a first start, run `cdc-sidecar run --bootstrap` once; otherwise restore the"
            " topic",
        )


def _refuse(fault: SidecarError | None) -> None:
    if fault:
        raise fault


def _say_server(server: SourceServer) -> str:
    return f"database {server.database} as {server.user}"


def _say_tables(tables: tuple[PublishedTable, ...]) -> str:
    return f"{len(tables)}"


def _say_topic(topic: Topic | None) -> str:
    if topic is None:
        return "none yet: it is created when it is needed"
    return (
        f"{topic.partitions} partition(s), {topic.replication_factor} replica(s), "
        f"cleanup.policy={topic.cleanup_policy}, max.message.bytes={topic.max_message_bytes:,}"
    )


def _say_position(record: PositionRecord | None) -> str:
    if record is None:
        return "none yet"
    if record.position is None:
        return "an intent to create the slot"
    return f"{format_lsn(record.position.end_lsn)} after {record.commits:,} commits"

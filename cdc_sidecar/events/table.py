"""A captured table: its row messages become keyed Debezium envelopes on its topic."""

from typing import Final

from cdc_sidecar.config.model import Table
from cdc_sidecar.errors import LayoutRefused, ProtocolViolation, TruncateRefused
from cdc_sidecar.events.binary import EMPTY, encode_array, encode_string
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.layout import lay_out
from cdc_sidecar.events.names import table_namespace, table_topic
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.ports import Envelope as Events
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import canonical_json, envelope_schema, key_schema
from cdc_sidecar.events.twin import Envelope, Transcoder
from cdc_sidecar.postgres.frames import TUPLE_AT, TUPLE_KIND_AT
from cdc_sidecar.postgres.pgoutput import Relation, ReplicaIdentity

_OR_PARK: Final = ', or set on_error = "park" in the block of {}'
_NEW: Final = ord("N")
_OLD: Final = b"KO"
"""The kinds of an old row: its key alone (K), or all of it (O)."""


def open_envelope(
    source: Source,
    relation: Relation,
    plan: Plan,
    registry: Registry,
    catalog: Catalog,
    *,
    snapshot: str = "false",
    halts: bool = False,
) -> tuple[TopicRoute, Events]:
    """Register the schemas of a relation version; return the route and the envelope of its events.

    `snapshot` is their `source.snapshot`; the table `halts` at an event that is too large.

    Raises:
        SidecarError: registry or catalog cannot answer.

    """
    namespace = table_namespace(source.service, relation.namespace, relation.name)
    schema = envelope_schema(namespace, plan.fields)
    schemas = {"value": canonical_json(schema)}
    if plan.key:
        schemas = {"key": canonical_json(key_schema(namespace, plan.key_fields)), **schemas}
    topic = table_topic(source.service, relation.namespace, relation.name)
    remedy = f"leave a column out{_OR_PARK.format(relation.qualified_name) if halts else ''}"
    route = TopicRoute.open(topic, schemas, registry, catalog, remedy=remedy)
    constants = source.constants(relation.namespace, relation.name, snapshot)
    layout = lay_out(schema, constants, route.value_prefix)
    return route, Envelope(relation.qualified_name, route, layout)


class CapturedTable:
    """The sink of one relation version of a captured table."""

    def __init__(
        self,
        source: Source,
        relation: Relation,
        config: Table,
        plan: Plan,
        registry: Registry,
        catalog: Catalog,
    ) -> None:
        self._name = relation.qualified_name
        self._plan = plan
        full = relation.replica_identity is ReplicaIdentity.FULL
        self._needs_before = full and config.incomplete_before == "halt"
        self._config = config
        self._route, self._envelope = open_envelope(
            source, relation, plan, registry, catalog, halts=config.on_error == "halt"
        )
        self._transcode = Transcoder(plan).transcode
        self._append = self._envelope.append

    def insert(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add a `c` event."""
        row, key, unchanged, end = self._transcode(frame, TUPLE_AT)
        if end != len(frame) or frame[TUPLE_KIND_AT] != _NEW:
            raise self._misfit(frame)
        if not unchanged:
            self._append(transaction, "c", None, row, EMPTY, key)
        else:  # a row filter turned an UPDATE into an INSERT, and a TOASTed value was not sent
            self._append(transaction, "c", None, row, self._names(unchanged), key)
            self._count_unchanged(transaction, unchanged)

    def update(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add a `u` event, or for a changed key a `d`, a tombstone and a `c`."""
        before, old_key, old, new = None, None, -1, TUPLE_AT
        if frame[TUPLE_KIND_AT:TUPLE_AT] != b"N":
            before, old_key, _, end = self._transcode(frame, TUPLE_AT)
            old, new = TUPLE_AT, end + 1
            if frame[end:new] != b"N" or frame[TUPLE_KIND_AT] not in _OLD:
                raise self._misfit(frame)
        elif self._needs_before:
            raise _without_old_row(self._name)
        row, key, unchanged, end = self._transcode(frame, new, old)
        if end != len(frame):
            raise self._misfit(frame)
        names = self._names(unchanged) if unchanged else EMPTY
        if before is None or key == old_key:
            self._append(transaction, "u", before, row, names, key)
        else:
            self._move(transaction, (before, row), names, (old_key, key))
        if unchanged:
            self._count_unchanged(transaction, unchanged)

    def delete(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add a `d` event and its tombstone."""
        before, key, _, end = self._transcode(frame, TUPLE_AT)
        if end != len(frame) or frame[TUPLE_KIND_AT] not in _OLD:
            raise self._misfit(frame)
        self._append(transaction, "d", before, None, EMPTY, key)
        if key is not None and self._config.tombstones:
            transaction.append(self._route, None, key)  # smaller than the `d`: it is not refused

    def truncate(self, transaction: SourceTransaction) -> None:
        """Add a `t` event to every partition or to the first one, count it, or halt."""
        if self._config.truncate == "halt":
            raise TruncateRefused(
                self._name,
                hint='decide what consumers must do, set truncate = "event" or "skip", and restart',
            )
        if self._config.truncate == "skip":
            transaction.count(Count(Counted.SKIPPED_TRUNCATES, self._name))
            return
        value = self._envelope.encode(transaction, "t", None, None, EMPTY, 1)
        partitions = range(self._route.partitions if self._config.truncate == "event" else 1)
        records = [self._route.record(value, None, partition) for partition in partitions]
        self._envelope.extend(transaction, ("t",), records)

    def _move(
        self,
        transaction: SourceTransaction,
        rows: tuple[bytes, bytes],
        names: bytes,
        keys: tuple[bytes | None, bytes | None],
    ) -> None:
        """Add a `d` event, a tombstone and a `c`; all are checked before the first one is added."""
        encode, route = self._envelope.encode, self._route
        (before, after), (old_key, key) = rows, keys
        deleted = encode(transaction, "d", before, None, EMPTY, 1)
        created = encode(transaction, "c", None, after, names, 2)
        records = [route.record(deleted, old_key), route.record(created, key)]
        if self._config.tombstones:
            records.insert(1, route.record(None, old_key))
        self._envelope.extend(transaction, ("d", "c"), records)

    def _names(self, unchanged: tuple[int, ...]) -> bytes:
        """Return the array of unchanged columns, encoded."""
        return encode_array([encode_string(self._field(place)) for place in unchanged])

    def _count_unchanged(self, transaction: SourceTransaction, unchanged: tuple[int, ...]) -> None:
        for place in unchanged:
            transaction.count(Count(Counted.UNCHANGED, self._name, self._field(place)))

    def _field(self, place: int) -> str:
        return self._plan.sent[place].field.name

    def _misfit(self, frame: bytes) -> ProtocolViolation:
        return ProtocolViolation(f"row message of {len(frame)} bytes does not fit its relation")


def _without_old_row(name: str) -> LayoutRefused:
    return LayoutRefused(
        f"an update has no old row, although {name} has REPLICA IDENTITY FULL",
        cause="the row is in a partition with another replica identity, so a changed key would not"
        " be seen",
        hint="run ALTER TABLE … REPLICA IDENTITY FULL for each partition; if no key was changed"
        ' before that, set incomplete_before = "publish" for the table: it publishes the updates'
        " that are already written",
    )

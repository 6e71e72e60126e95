"""A captured table: its row messages become keyed Debezium envelopes on its topic."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cdc_sidecar.config.model import Table
from cdc_sidecar.errors import ProtocolViolation, RecordTooLarge, TruncateRefused
from cdc_sidecar.events.binary import EMPTY, NULL, SOME
from cdc_sidecar.events.envelope import SourceTransaction, encode_unchanged
from cdc_sidecar.events.names import table_namespace, table_topic
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.schema import canonical_json, envelope_schema, key_schema, wire_prefix
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.twin import TableEnvelope, Transcoder
from cdc_sidecar.postgres.pgoutput import Relation

OLD: Final = 31
"""Where the first TupleData of a row message starts in its XLogData frame: 25 of the header, kind,
relation oid and the tuple's own letter."""
_LETTER: Final = 30
_NEW_ROW: Final = ord("N")
_BATCH_OVERHEAD: Final = 512  # bytes: record batch header and record framing, generously


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What the broker says about a topic."""

    partitions: int
    max_message_bytes: int


class RowSink(Protocol):
    """What takes the row messages of one relation version.

    Every method gets the transaction to add to, and the whole XLogData frame with its LSN.
    """

    def insert(self, transaction: SourceTransaction, frame: bytes, lsn: int) -> None:
        """Take an Insert."""

    def update(self, transaction: SourceTransaction, frame: bytes, lsn: int) -> None:
        """Take an Update."""

    def delete(self, transaction: SourceTransaction, frame: bytes, lsn: int) -> None:
        """Take a Delete."""

    def truncate(self, transaction: SourceTransaction, lsn: int) -> None:
        """Take a Truncate of this relation."""


class CapturedTable:
    """The sink of one relation version of a captured table."""

    def __init__(
        self,
        service: str,
        relation: Relation,
        config: Table,
        plan: Plan,
        subjects: Subjects,
        topic_facts: Callable[[str], TopicFacts],
        counts: Counter[tuple[str, str]],
    ) -> None:
        self._name = relation.qualified_name
        self._plan = plan
        self._transcode = Transcoder(plan).transcode
        self._config = config
        self._counts = counts
        self._topic = table_topic(service, relation.namespace, relation.name)
        facts = topic_facts(self._topic)
        self._partitions = facts.partitions
        self._limit = facts.max_message_bytes - _BATCH_OVERHEAD
        namespace = table_namespace(service, relation.namespace, relation.name)
        self._key_prefix = b""
        if plan.key:
            key = canonical_json(key_schema(namespace, plan.key_fields))
            self._key_prefix = wire_prefix(subjects.register(f"{self._topic}-key", key))
        value = canonical_json(envelope_schema(namespace, plan.fields))
        self._wire = wire_prefix(subjects.register(f"{self._topic}-value", value))
        self._insert_head = self._wire + NULL + SOME
        self._envelope = TableEnvelope(self._name, relation.namespace, relation.name)
        self._created, self._updated = (self._name, "c"), (self._name, "u")
        self._deleted, self._truncated = (self._name, "d"), (self._name, "t")

    def insert(self, transaction: SourceTransaction, frame: bytes, lsn: int) -> None:
        """Publish a `c`."""
        row, key, unchanged, end = self._transcode(frame, OLD)
        if end != len(frame) or frame[_LETTER] != _NEW_ROW:
            raise self._misfit(frame)
        self._counts[self._created] += 1
        # a row filter turns an UPDATE into an INSERT, and a TOASTed value still stays behind
        names = encode_unchanged(self._names(unchanged)) if unchanged else EMPTY
        value = self._envelope.value(transaction, lsn, "c", self._insert_head, row, names)
        self._publish(transaction, key, value)

    def update(self, transaction: SourceTransaction, frame: bytes, lsn: int) -> None:
        """Publish a `u`, or for a changed key a `d`, a tombstone and a `c`."""
        if frame[_LETTER:OLD] == b"N":
            before, old_key, old, new = None, None, -1, OLD
        else:
            before, old_key, _, end = self._transcode(frame, OLD)
            old, new = OLD, end + 1
            if frame[end : end + 1] != b"N" or frame[_LETTER] not in b"KO":
                raise self._misfit(frame)
        row, key, unchanged, end = self._transcode(frame, new, old)
        if end != len(frame):
            raise self._misfit(frame)
        if before is not None and key != old_key:
            self._delete(transaction, lsn, before, old_key)
            self._counts[self._created] += 1
            head, op = self._insert_head, "c"
        else:
            self._counts[self._updated] += 1
            head = self._wire + (NULL if before is None else SOME + before) + SOME
            op = "u"
        names = encode_unchanged(self._names(unchanged)) if unchanged else EMPTY
        self._publish(
            transaction, key, self._envelope.value(transaction, lsn, op, head, row, names)
        )

    def delete(self, transaction: SourceTransaction, frame: bytes, lsn: int) -> None:
        """Publish a `d` and its tombstone."""
        before, key, _, end = self._transcode(frame, OLD)
        if end != len(frame) or frame[_LETTER] not in b"KO":
            raise self._misfit(frame)
        self._delete(transaction, lsn, before, key)

    def truncate(self, transaction: SourceTransaction, lsn: int) -> None:
        """Publish a `t` to every partition, or halt where the configuration says so."""
        if self._config.truncate == "halt":
            raise TruncateRefused(
                self._name,
                hint='decide what consumers must do, set truncate = "event" and restart',
            )
        self._counts[self._truncated] += 1
        head = self._wire + NULL + NULL
        value = self._envelope.value(transaction, lsn, "t", head, b"", EMPTY)
        for partition in range(self._partitions):
            transaction.add((self._topic, value, None, partition), len(value))

    def _delete(
        self, transaction: SourceTransaction, lsn: int, before: bytes, key: bytes | None
    ) -> None:
        self._counts[self._deleted] += 1
        head = self._wire + SOME
        value = self._envelope.value(transaction, lsn, "d", head, before + NULL, EMPTY)
        self._publish(transaction, key, value)
        if key is not None and self._config.tombstones:
            transaction.add((self._topic, None, self._key_prefix + key), len(key))

    def _publish(self, transaction: SourceTransaction, key: bytes | None, value: bytes) -> None:
        framed = None if key is None else self._key_prefix + key
        size = len(value) + (0 if framed is None else len(framed))
        if size > self._limit:
            raise RecordTooLarge(
                f"{size} bytes, but topic {self._topic} takes {self._limit}",
                hint=f"raise max.message.bytes of topic {self._topic}, or leave a column out",
            )
        transaction.records.append((self._topic, value, framed))
        transaction.size += size

    def _names(self, unchanged: tuple[int, ...]) -> list[str]:
        names = [self._plan.sent[place].field.name for place in unchanged]
        for name in names:
            self._counts[self._name, f"unchanged:{name}"] += 1
        return names

    def _misfit(self, frame: bytes) -> ProtocolViolation:
        return ProtocolViolation(f"row message of {len(frame)} bytes does not fit its relation")


class IgnoredTable:
    """The sink of a published table that is not configured: its rows are dropped and counted."""

    def __init__(self, relation: Relation, counts: Counter[tuple[str, str]]) -> None:
        self._counts = counts
        self._reason = (relation.qualified_name, "ignored")

    def insert(self, _transaction: SourceTransaction, _frame: bytes, _lsn: int) -> None:
        """Count the row."""
        self._counts[self._reason] += 1

    update = delete = insert

    def truncate(self, _transaction: SourceTransaction, _lsn: int) -> None:
        """Count the truncate."""
        self._counts[self._reason] += 1

"""BEGIN and END records of source transactions, in Debezium's form (`[transactions] topic`).

Debezium's documentation of its PostgreSQL connector, "Transaction metadata"; `part` is ours. All of
them go to partition 0: only there do they stand in commit order, which hashed ids would lose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.errors import RecordTooLarge
from cdc_sidecar.events.binary import NULL, SOME, encode_array, encode_long, encode_string
from cdc_sidecar.events.envelope import Record, SourceTransaction
from cdc_sidecar.events.names import transaction_topic
from cdc_sidecar.events.schema import (
    canonical_json,
    transaction_key_schema,
    transaction_schema,
    wire_prefix,
)
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.table import TopicFacts

PARTITION: Final = 0
_OVERHEAD: Final = 512  # bytes: record batch header, record framing and `part`, generously


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """A BEGIN or END record but for its part, which only who commits the parts can know."""

    topic: str
    key: bytes
    value: bytes  # without `part`, which is the last field

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key) + len(self.value)

    def record(self, part: int | None) -> Record:
        """Return the record; `part` is the number of parts, None where it was never split."""
        spelled = NULL if part is None else SOME + encode_long(part)
        return (self.topic, self.value + spelled, self.key, PARTITION)


class TransactionMetadata:
    """Makes BEGIN and END of transactions whose events have ordinals."""

    def __init__(
        self, service: str, subjects: Subjects, topic_facts: Callable[[str], TopicFacts]
    ) -> None:
        self._topic = transaction_topic(service)
        self._subjects = subjects
        self._topic_facts = topic_facts
        self._key_schema = canonical_json(transaction_key_schema())
        self._value_schema = canonical_json(transaction_schema())

    def begin(self, transaction: SourceTransaction) -> MetadataRecord:
        """Return the BEGIN record; it never has a part."""
        return self._bound(transaction, "BEGIN", NULL + NULL)

    def end(self, transaction: SourceTransaction) -> MetadataRecord:
        """Return the END record of a transaction with all its events counted."""
        collections = [
            encode_string(collection) + encode_long(count)
            for collection, count in transaction.orders.items()
        ]
        counted = SOME + encode_long(transaction.total_order) + SOME + encode_array(collections)
        return self._bound(transaction, "END", counted)

    def _bound(self, transaction: SourceTransaction, status: str, counted: bytes) -> MetadataRecord:
        identifier = encode_string(f"{transaction.xid}:{transaction.final_lsn}")
        key = wire_prefix(self._subjects.register(f"{self._topic}-key", self._key_schema))
        value = wire_prefix(self._subjects.register(f"{self._topic}-value", self._value_schema))
        time = encode_long(transaction.commit_time // 1000)
        parts = (value, encode_string(status), identifier, counted, time)
        bound = MetadataRecord(self._topic, key + identifier, b"".join(parts))
        limit = self._topic_facts(self._topic).max_message_bytes - _OVERHEAD
        if bound.size > limit:
            raise RecordTooLarge(
                f"{status} of {bound.size} bytes, but topic {self._topic} takes {limit}",
                hint=f"raise max.message.bytes of topic {self._topic}",
            )
        return bound

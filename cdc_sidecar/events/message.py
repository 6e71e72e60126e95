"""Logical messages (`pg_logical_emit_message`) with an opted-in prefix, in Debezium's form."""

from collections import Counter

from cdc_sidecar.events.binary import encode_bytes, encode_string
from cdc_sidecar.events.envelope import SourceTransaction
from cdc_sidecar.events.names import message_topic
from cdc_sidecar.events.schema import (
    canonical_json,
    message_key_schema,
    message_schema,
    wire_prefix,
)
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.events.twin import TableEnvelope
from cdc_sidecar.postgres.pgoutput import LogicalMessage

COLLECTION = "message"
"""The name under which messages are counted in a transaction."""


class MessageSink:
    """Takes logical messages; drops, and counts, those whose prefix was not opted in."""

    def __init__(
        self,
        service: str,
        prefixes: tuple[str, ...],
        subjects: Subjects,
        counts: Counter[tuple[str, str]],
    ) -> None:
        self._prefixes = frozenset(prefixes)
        self._topic = message_topic(service)
        self._subjects = subjects
        self._counts = counts
        self._envelope = TableEnvelope(COLLECTION, "", "")
        self._key_schema = canonical_json(message_key_schema())
        self._value_schema = canonical_json(message_schema())

    def add(self, transaction: SourceTransaction, message: LogicalMessage, lsn: int) -> bool:
        """Publish an `m`; tell whether the prefix was opted in."""
        if message.prefix not in self._prefixes:
            self._counts[COLLECTION, "ignored"] += 1
            return False
        self._counts[COLLECTION, "m"] += 1
        key_id = self._subjects.register(f"{self._topic}-key", self._key_schema)
        value_id = self._subjects.register(f"{self._topic}-value", self._value_schema)
        key = wire_prefix(key_id) + encode_string(message.prefix)
        value = b"".join(
            (
                wire_prefix(value_id),
                transaction.message_ending(),
                self._source_and_transaction(transaction, lsn),
                encode_string(message.prefix),
                encode_bytes(message.content),
            )
        )
        transaction.add((self._topic, value, key), len(key) + len(value))
        return True

    def _source_and_transaction(self, transaction: SourceTransaction, lsn: int) -> bytes:
        source = self._envelope.source(transaction, lsn)
        if transaction.xid is None:
            return source  # closes with a null transaction
        return source + self._envelope.next_order(transaction)

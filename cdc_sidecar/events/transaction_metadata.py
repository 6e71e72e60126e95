"""BEGIN and END records of source transactions, in Debezium's form (`[transactions] topic`).

Debezium's documentation of its PostgreSQL connector, "Transaction metadata"; `part` is ours. All
records go to partition 0. Only one partition keeps them in commit order; the hash of their ids
would spread them.
"""

from dataclasses import dataclass
from typing import Final

from cdc_sidecar.events.binary import NULL, SOME, encode_array, encode_long, encode_string
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.names import transaction_topic
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import canonical_json, transaction_key_schema, transaction_schema

PARTITION: Final = 0
"""Every topic has this partition."""


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """A BEGIN or END record without its part, which is known only when the parts are committed."""

    unfinished: Record  # its value lacks `part`, which is the last field

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return self.unfinished.size

    def record(self, part: int | None) -> Record:
        """Return the record; `part` is the number of parts, None if it was never split."""
        encoded = NULL if part is None else SOME + encode_long(part)
        record = self.unfinished
        return Record(record.topic, (record.value or b"") + encoded, record.key, record.partition)


class TransactionMetadata:
    """Makes BEGIN and END of transactions whose events are numbered."""

    def __init__(self, service: str, registry: Registry, catalog: Catalog) -> None:
        self._topic = transaction_topic(service)
        self._registry = registry
        self._catalog = catalog
        self._opened: TopicRoute | None = None

    def begin(self, transaction: SourceTransaction) -> MetadataRecord:
        """Return the BEGIN record; it never has a part.

        Raises:
            RecordTooLarge: the topic does not take it.

        """
        return self._make(transaction, "BEGIN", NULL + NULL)

    def end(self, transaction: SourceTransaction) -> MetadataRecord:
        """Return the END record of a transaction with all its events counted.

        Raises:
            RecordTooLarge: the topic does not take it.

        """
        collections = [
            encode_string(collection) + encode_long(count)
            for collection, count in transaction.orders.items()
        ]
        counted = SOME + encode_long(transaction.total_order) + SOME + encode_array(collections)
        return self._make(transaction, "END", counted)

    def _make(self, transaction: SourceTransaction, status: str, counted: bytes) -> MetadataRecord:
        route = self._opened or self._open()
        identifier = encode_string(f"{transaction.xid}:{transaction.final_lsn}")
        time = encode_long(transaction.commit_time // 1000)
        value = b"".join((route.value_prefix, encode_string(status), identifier, counted, time))
        return MetadataRecord(route.record(value, identifier, PARTITION))

    def _open(self) -> TopicRoute:
        """Register the schemas before the first record."""
        schemas = {
            "key": canonical_json(transaction_key_schema()),
            "value": canonical_json(transaction_schema()),
        }
        self._opened = TopicRoute.open(self._topic, schemas, self._registry, self._catalog)
        return self._opened

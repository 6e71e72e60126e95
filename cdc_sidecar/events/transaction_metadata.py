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
from cdc_sidecar.events.snapshot.covered import CoveredRange
from cdc_sidecar.postgres.lsn import Lsn

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
        self._covered: dict[int, CoveredRange] = {}  # by the commit LSN of the transaction

    def cover(self, transaction: SourceTransaction, covered: CoveredRange) -> None:
        """Let the END of a transaction say which range of a table it covers."""
        self._covered[transaction.final_lsn] = covered

    def has_end(self, transaction: SourceTransaction) -> bool:
        """Return whether a transaction has an END: it has events, or covers a range."""
        return bool(transaction.total_order) or transaction.final_lsn in self._covered

    def begin(self, transaction: SourceTransaction) -> MetadataRecord:
        """Return the BEGIN record; it never has a part.

        Raises:
            RecordTooLarge: the topic does not take it.

        """
        identifier = f"{transaction.xid}:{transaction.final_lsn}"
        return self._make("BEGIN", identifier, NULL + NULL, transaction.commit_time, NULL + NULL)

    def end(self, transaction: SourceTransaction, end_lsn: Lsn) -> MetadataRecord:
        """Return the END record of a transaction with all its events counted.

        Raises:
            RecordTooLarge: the topic does not take it.

        """
        collections = [
            encode_string(collection) + encode_long(count)
            for collection, count in transaction.orders.items()
        ]
        counted = SOME + encode_long(transaction.total_order) + SOME + encode_array(collections)
        identifier = f"{transaction.xid}:{transaction.final_lsn}"
        covered = self._covered.pop(transaction.final_lsn, None)
        end = SOME + encode_long(end_lsn) + (_encode_range(covered) if covered else NULL)
        return self._make("END", identifier, counted, transaction.commit_time, end)

    def progress(self, end_lsn: Lsn, now: int) -> MetadataRecord:
        """Return the END of an empty transaction `0:<lsn>`: nothing else happened up to there.

        Raises:
            RecordTooLarge: the topic does not take it.

        """
        counted = SOME + encode_long(0) + SOME + encode_array([])
        end = SOME + encode_long(end_lsn) + NULL
        return self._make("END", f"0:{end_lsn}", counted, now, end)

    def _make(
        self, status: str, identifier: str, counted: bytes, time: int, end: bytes
    ) -> MetadataRecord:
        route, key = self._opened or self._open(), encode_string(identifier)
        parts = (route.value_prefix, encode_string(status), key, counted, encode_long(time // 1000))
        return MetadataRecord(route.record(b"".join((*parts, end)), key, PARTITION))

    def _open(self) -> TopicRoute:
        """Register the schemas before the first record."""
        schemas = {
            "key": canonical_json(transaction_key_schema()),
            "value": canonical_json(transaction_schema()),
        }
        self._opened = TopicRoute.open(self._topic, schemas, self._registry, self._catalog)
        return self._opened


def _encode_range(covered: CoveredRange) -> bytes:
    """Return the field `snapshot_range`."""
    parts = (
        encode_string(covered.table),
        _encode_texts(covered.columns),
        NULL if covered.after is None else SOME + _encode_texts(covered.after),
        NULL if covered.upto is None else SOME + _encode_texts(covered.upto),
        encode_long(covered.since),
    )
    return SOME + b"".join(parts)


def _encode_texts(texts: tuple[str, ...]) -> bytes:
    return encode_array([encode_string(text) for text in texts])

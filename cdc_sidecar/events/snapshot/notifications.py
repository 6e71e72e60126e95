"""Notifications about snapshots, in Debezium's form (`[notifications] topic`).

Debezium's documentation, "Debezium notifications". A record is part of the Kafka transaction whose
rows it tells of. All records go to partition 0, so that their order is kept. Keys of rows are not
in them.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cdc_sidecar.events.binary import SOME, encode_array, encode_long, encode_string
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.names import notification_topic
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.schema import canonical_json, notification_key_schema, notification_schema
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.events.transaction_metadata import PARTITION


@dataclass(frozen=True, slots=True)
class _Notification:
    type: str
    data: Mapping[str, str] = field(default_factory=dict)


class Notifications:
    """Writes what becomes of each snapshot; used by the replication thread."""

    def __init__(self, service: str, registry: Registry, catalog: Catalog) -> None:
        self._service = service
        self._registry = registry
        self._catalog = catalog
        self._route: TopicRoute | None = None

    def tell(
        self,
        transaction: SourceTransaction,
        before: TableSnapshot,
        after: TableSnapshot,
        *,
        last: bool,
    ) -> None:
        """Add the records of a step of one table; `last` if no other table is open any more.

        Raises:
            RecordTooLarge: the topic does not take one.

        """
        for said in (*_read(before, after), *_ended(before, after, last=last)):
            transaction.add(self._record(transaction, after, said))

    def _record(
        self, transaction: SourceTransaction, table: TableSnapshot, said: _Notification
    ) -> Record:
        route = self._route = self._route or self._open()
        number = f"{self._service}/{table.oid}/{transaction.final_lsn}/{said.type}"
        key = encode_string(str(uuid.uuid5(uuid.NAMESPACE_OID, number)))
        data = {"connector_name": self._service, "data_collections": table.name, **said.data}
        pairs = [encode_string(name) + encode_string(text) for name, text in data.items()]
        kind = "Initial Snapshot" if table.initial else "Incremental Snapshot"
        fields = (encode_string(kind), encode_string(said.type), SOME, encode_array(pairs))
        at = encode_long(transaction.commit_time // 1000)
        return route.record(b"".join((route.value_prefix, key, *fields, at)), key, PARTITION)

    def _open(self) -> TopicRoute:
        """Register the schemas before the first record."""
        schemas = {
            "key": canonical_json(notification_key_schema()),
            "value": canonical_json(notification_schema()),
        }
        topic = notification_topic(self._service)
        return TopicRoute.open(topic, schemas, self._registry, self._catalog)


def _read(before: TableSnapshot, after: TableSnapshot) -> Iterator[_Notification]:
    """Yield what was read of a table by a step."""
    phase = after.phase
    is_read = phase in (SnapshotPhase.READ, SnapshotPhase.DONE)
    was_begun = before.phase in (SnapshotPhase.READING, SnapshotPhase.READ)
    if not was_begun and (is_read or phase is SnapshotPhase.READING):
        yield _Notification("STARTED")
    if phase is SnapshotPhase.READING and after.cursor != before.cursor:
        progress = {"current_collection_in_progress": after.name, "rows": str(after.rows)}
        yield _Notification("IN_PROGRESS", progress)
    if is_read and before.phase is not SnapshotPhase.READ:
        scanned = {"scanned_collection": after.name, "total_rows_scanned": str(after.rows)}
        status = {"status": "SUCCEEDED" if after.rows else "EMPTY"}
        yield _Notification("TABLE_SCAN_COMPLETED", scanned | status)


def _ended(before: TableSnapshot, after: TableSnapshot, *, last: bool) -> Iterator[_Notification]:
    """Yield whether a step has ended, or interrupted, the snapshot of a table."""
    if after.paused != before.paused:
        yield _Notification("PAUSED" if after.paused else "RESUMED")
    if after.phase is SnapshotPhase.CANCELLED:
        yield _Notification("STOPPED")
    elif after.phase is SnapshotPhase.FAILED:
        yield _Notification("ABORTED", {"reason": after.error.partition(":")[0]})
    elif after.phase is SnapshotPhase.DONE and last:
        yield _Notification("COMPLETED")

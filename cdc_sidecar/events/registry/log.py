"""The schemas topic as one session continues it: registry, layouts, tables, pending records."""

from cdc_sidecar.events.registry.builtin import BuiltInRegistry
from cdc_sidecar.events.registry.layouts import LayoutStore
from cdc_sidecar.events.registry.pending import PendingRecords
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.registry.records import (
    KnownTable,
    SchemaRecord,
    SchemaVersion,
    StoredLayout,
    TableSnapshot,
    decode_schema_record,
)
from cdc_sidecar.events.registry.snapshots import Snapshots
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.events.registry.tables import KnownTables


class SchemaLog:
    """What earlier sessions committed to the schemas topic, and what this one adds.

    A new record becomes visible to readers with the Kafka transaction that carries it: `drain`
    hands it out with the batch whose rows need it. A session that ends drops the log; the next one
    loads what was committed.
    """

    def __init__(self) -> None:
        self._pending = PendingRecords()
        self.subjects = Subjects()
        """Every version that is loaded or registered, committed or not."""
        self.registry: Registry = BuiltInRegistry(self.subjects, self._pending)
        self.layouts = LayoutStore(self._pending)
        self.tables = KnownTables(self._pending)
        self.snapshots = Snapshots(self._pending)

    def load(self, key: bytes, value: bytes) -> None:
        """Add one committed record of the schemas topic.

        Raises:
            SchemasUnreadable: the record is of another version, or malformed.
            SchemaIdClash: another schema has its id.

        """
        match decode_schema_record(key, value):
            case SchemaVersion() as version:
                self.subjects.add(version)
            case StoredLayout() as layout:
                self.layouts.load(layout)
            case KnownTable() as table:
                self.tables.load(table)
            case TableSnapshot() as snapshot:
                self.snapshots.load(snapshot)
            case None:  # a topic that was created: see `cdc_sidecar.kafka.ledger`
                pass

    def drain(self) -> list[SchemaRecord]:
        """Return the records that must precede the next row, and keep none of them."""
        return self._pending.drain()

"""Records of the schemas topic that the next batch must carry before its rows."""

from cdc_sidecar.events.registry.records import SchemaRecord


class PendingRecords:
    """Records that no batch carries yet, in the order in which they were added."""

    def __init__(self) -> None:
        self._records: list[SchemaRecord] = []

    def add(self, record: SchemaRecord) -> None:
        """Add a record."""
        self._records.append(record)

    def drain(self) -> list[SchemaRecord]:
        """Return the records that must precede the next row, and keep none of them."""
        drained, self._records = self._records, []
        return drained

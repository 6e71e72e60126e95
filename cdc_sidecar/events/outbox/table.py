"""The sink of an outbox table."""

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import ProtocolViolation, Unrepresentable
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.outbox.columns import find_columns, is_binary
from cdc_sidecar.events.outbox.router import EventRouter
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.transcode import columns_of
from cdc_sidecar.postgres.frames import TUPLE_AT
from cdc_sidecar.postgres.pgoutput import UNCHANGED, Relation
from cdc_sidecar.postgres.types import LayoutFacts


class OutboxTable:
    """The sink of one relation version of an outbox table."""

    def __init__(
        self,
        relation: Relation,
        config: Outbox,
        facts: LayoutFacts,
        registry: Registry,
        catalog: Catalog,
    ) -> None:
        self._width = len(relation.columns)
        self._places = find_columns(relation, config)
        names = {role: relation.columns[at].name for role, at in self._places.items()}
        self._is_binary = is_binary(config, facts.types[self._places["payload"]])
        self._router = EventRouter(config, names, registry, catalog, binary=self._is_binary)
        self._updated = Count(Counted.OUTBOX_UPDATES, config.name)

    def insert(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the row as an event."""
        self._router.add(transaction, self._read(frame))

    def update(self, transaction: SourceTransaction, _frame: bytes) -> None:
        """Count an update: an event that was published cannot be changed."""
        transaction.count(self._updated)

    def delete(self, _transaction: SourceTransaction, _frame: bytes) -> None:
        """Ignore a delete: rows that are published are removed."""

    def truncate(self, _transaction: SourceTransaction) -> None:
        """Ignore a truncate: rows that are published are removed."""

    def _read(self, frame: bytes) -> dict[str, bytes | None]:
        """Return the texts of the columns that have a role; a binary payload is decoded."""
        columns, end = columns_of(frame, TUPLE_AT)
        if end != len(frame) or len(columns) != self._width:
            raise ProtocolViolation(f"row message of {end} bytes does not fit its relation")
        row: dict[str, bytes | None] = {}
        for role, place in self._places.items():
            column = columns[place]
            if column is UNCHANGED:
                raise Unrepresentable(
                    f"a value that the server did not send, in column {role}",
                    cause="a row filter of the publication turned an UPDATE into an INSERT",
                    hint="publish the outbox without a row filter",
                )
            row[role] = column
        payload = row["payload"]
        if self._is_binary and payload is not None:
            row["payload"] = bytes.fromhex(payload[2:].decode())
        return row

"""The sink of an outbox table."""

from collections.abc import Callable

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.outbox.columns import find_columns, is_binary
from cdc_sidecar.events.outbox.router import EventRouter
from cdc_sidecar.events.outbox.twin import RowRouter
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts


class OutboxTable:
    """The sink of one relation version of an outbox table."""

    insert: Callable[[SourceTransaction, bytes], None]
    """Add the row as an event. It is the router's own method: another call would cost each row."""

    def __init__(
        self,
        relation: Relation,
        config: Outbox,
        facts: LayoutFacts,
        registry: Registry,
        catalog: Catalog,
    ) -> None:
        places = find_columns(relation, config)
        names = {role: relation.columns[at].name for role, at in places.items()}
        binary = is_binary(config, facts.types[places["payload"]])
        router = EventRouter(config, names, registry, catalog, binary=binary)
        self.insert = RowRouter(router, places, len(relation.columns), binary=binary).add
        self._updated = Count(Counted.OUTBOX_UPDATES, config.name)

    def update(self, transaction: SourceTransaction, _frame: bytes) -> None:
        """Count an update: an event that was published cannot be changed."""
        transaction.count(self._updated)

    def delete(self, _transaction: SourceTransaction, _frame: bytes) -> None:
        """Ignore a delete: rows that are published are removed."""

    def truncate(self, _transaction: SourceTransaction) -> None:
        """Ignore a truncate: rows that are published are removed."""

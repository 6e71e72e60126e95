"""The protocol of the sinks that accept the rows of a relation, and the sink that drops them."""

from typing import Protocol

from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.postgres.pgoutput import Relation


class RowSink(Protocol):
    """Accepts the row messages of one relation version.

    Every method gets the open transaction, whose cursor is at the change, and the whole XLogData
    frame. It adds all records of the change to the transaction, or it raises and leaves the
    transaction as it was; then the next change may come.
    """

    def insert(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the event of an Insert."""

    def update(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the events of an Update."""

    def delete(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the event of a Delete."""

    def truncate(self, transaction: SourceTransaction) -> None:
        """Add the event of a Truncate of this relation."""


class IgnoredTable:
    """The sink of a published table that is not configured: its changes are counted and dropped."""

    def __init__(self, relation: Relation) -> None:
        self._count = Count(Counted.IGNORED, relation.qualified_name)

    def insert(self, transaction: SourceTransaction, _frame: bytes) -> None:
        """Count the row."""
        transaction.count(self._count)

    update = delete = insert

    def truncate(self, transaction: SourceTransaction) -> None:
        """Count the truncate."""
        transaction.count(self._count)

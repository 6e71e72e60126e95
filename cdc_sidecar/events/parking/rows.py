"""Parks the rows of one relation version: those of the stream, and those of a snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.copy_line import fields_of
from cdc_sidecar.events.names import parked_topic, table_topic
from cdc_sidecar.events.outbox.columns import find_columns
from cdc_sidecar.events.parking.document import ParkedOrigin, Refused, Row
from cdc_sidecar.events.parking.lot import PARKABLE, ParkingLot
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.sink import RowSink
from cdc_sidecar.events.transcode import columns_of
from cdc_sidecar.events.values import masked
from cdc_sidecar.postgres.frames import TUPLE_AT, TUPLE_KIND_AT
from cdc_sidecar.postgres.pgoutput import UNCHANGED, ColumnData, Relation

_KEY_ALONE: Final = ord("K")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column that may be parked."""

    place: int
    name: str
    is_masked: bool
    is_key: bool  # of the replica identity


class ParkedRows:
    """Knows which columns of a relation version are parked: of a table, those that are sent."""

    def __init__(
        self,
        lot: ParkingLot,
        columns: Sequence[_Column],
        key: Sequence[str],
        type_column: str | None = None,
    ) -> None:
        self._lot = lot
        self._columns = columns
        self._key = frozenset(key)
        self._type_column = type_column

    @classmethod
    def of_table(
        cls, service: str, relation: Relation, plan: Plan, registry: Registry, catalog: Catalog
    ) -> "ParkedRows":
        """Return the parking of a relation version of a captured table."""
        topic = table_topic(service, relation.namespace, relation.name)
        origin = ParkedOrigin(service, relation.qualified_name, "table", topic)
        lot = ParkingLot(origin, parked_topic(topic), registry, catalog)
        columns = [
            _Column(place, sent.name, sent.is_masked, relation.columns[place].is_key)
            for place, sent in enumerate(plan.columns)
            if sent
        ]
        return cls(lot, columns, [plan.sent[place].name for place in plan.key])

    @classmethod
    def of_outbox(
        cls,
        service: str,
        relation: Relation,
        config: Outbox,
        registry: Registry,
        catalog: Catalog,
    ) -> "ParkedRows":
        """Return the parking of a relation version of an outbox."""
        topic = table_topic(service, relation.namespace, relation.name)
        origin = ParkedOrigin(service, config.name, "outbox", config.topic)
        lot = ParkingLot(origin, parked_topic(topic), registry, catalog)
        places = find_columns(relation, config)
        names = [column.name for column in relation.columns]
        columns = [
            _Column(place, column.name, is_masked=False, is_key=column.is_key)
            for place, column in enumerate(relation.columns)
        ]
        return cls(lot, columns, [names[places["aggregateid"]]], names[places["type"]])

    def park(
        self, transaction: SourceTransaction, op: str, frame: bytes, error: SidecarError
    ) -> None:
        """Park the change of a row message, a whole XLogData frame."""
        before: Row | None = None
        start = TUPLE_AT
        if frame[TUPLE_KIND_AT] != ord("N"):
            texts, end = columns_of(frame, TUPLE_AT)
            before = self._row(texts, key_alone=frame[TUPLE_KIND_AT] == _KEY_ALONE)
            start = end + 1
        after = self._row(columns_of(frame, start)[0]) if start < len(frame) else None
        self._park(transaction, op, before, after, error)

    def park_line(self, transaction: SourceTransaction, line: bytes, error: SidecarError) -> None:
        """Park a row that a snapshot has read, a line of COPY."""
        self._park(transaction, "r", None, self._row(fields_of(line)), error)

    def _park(
        self,
        transaction: SourceTransaction,
        op: str,
        before: Row | None,
        after: Row | None,
        error: SidecarError,
    ) -> None:
        identified = {**(before or {}), **_sent(after)}
        key = {name: text for name, text in identified.items() if name in self._key}
        kind = identified.get(self._type_column) if self._type_column else None
        event_type = kind.decode(errors="replace") if isinstance(kind, bytes) else ""
        refused = Refused(
            op,
            before,
            after,
            key=key or None,
            event_type=event_type if self._type_column else None,
        )
        self._lot.park(transaction, refused, error)

    def _row(self, texts: Sequence[ColumnData], *, key_alone: bool = False) -> Row:
        """Return the row; a masked value is replaced by its hash, as in the event."""
        return {
            column.name: _masked(texts[column.place]) if column.is_masked else texts[column.place]
            for column in self._columns
            if column.is_key or not key_alone
        }


def _sent(row: Row | None) -> Row:
    return {name: text for name, text in (row or {}).items() if text is not UNCHANGED}


def _masked(text: ColumnData) -> ColumnData:
    if text is None or text is UNCHANGED:
        return text
    return masked(text)


class ParkingTable:
    """The sink of a table or an outbox with `on_error = "park"`: refused changes are parked."""

    def __init__(self, sink: RowSink, rows: ParkedRows) -> None:
        self._sink = sink
        self._rows = rows

    def insert(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the event of an Insert, or park it."""
        try:
            self._sink.insert(transaction, frame)
        except PARKABLE as error:
            self._rows.park(transaction, "c", frame, error)

    def update(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the events of an Update, or park it whole."""
        try:
            self._sink.update(transaction, frame)
        except PARKABLE as error:
            self._rows.park(transaction, "u", frame, error)

    def delete(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the event of a Delete, or park it."""
        try:
            self._sink.delete(transaction, frame)
        except PARKABLE as error:
            self._rows.park(transaction, "d", frame, error)

    def truncate(self, transaction: SourceTransaction) -> None:
        """Add the event of a Truncate, which has no values that could be refused."""
        self._sink.truncate(transaction)

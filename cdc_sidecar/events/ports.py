"""The protocols of the classes that exist twice, in plain Python and compiled.

`twin` chooses between the two. Sinks and tests depend on these protocols alone.
"""

from collections.abc import Mapping
from typing import Protocol

from cdc_sidecar.events.counts import Count, Counts
from cdc_sidecar.events.layout import EnvelopeLayout
from cdc_sidecar.events.parking.note import ParkedNote
from cdc_sidecar.events.payload.nodes import Node
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.record import Headers, Record
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.postgres.pgoutput import Origin

Transcoded = tuple[bytes, bytes | None, tuple[int, ...], int]
"""The row's Avro bytes, the key's (None: unkeyed), the sent columns that are unchanged, the end."""

TranscodedLine = tuple[bytes, bytes | None]
"""The row's Avro bytes, and the key's (None: unkeyed)."""


class Transcoder(Protocol):
    """Walks the rows of one plan; used by one thread at a time."""

    def __init__(self, plan: Plan) -> None: ...

    def transcode(self, frame: bytes, start: int, old: int = -1, /) -> Transcoded:
        """Write the row of the TupleData at `start`; the old row's, if any, starts at `old`.

        Raises:
            Unrepresentable: a value has no exact Avro form; names the column, never the value.
            ProtocolViolation: the tuple does not fit the plan or the frame.

        """

    def transcode_line(self, line: bytes, /) -> TranscodedLine:
        """Write the row of a line of COPY, which ends with a newline.

        Raises:
            Unrepresentable: as in `transcode`.
            ProtocolViolation: the line does not have as many values as the plan.

        """


class PayloadEncoder(Protocol):
    """Encodes the payloads of one event type; used by one thread at a time."""

    def __init__(self, plan: Node) -> None: ...

    def encode(self, text: bytes, /) -> bytes:
        """Return the Avro bytes of a payload in JSON.

        Raises:
            PayloadMisfit: the text is not JSON, or does not fit the schema; the error has the path.

        """


class SourceTransaction(Protocol):
    """One source transaction while it is assembled: its facts, its cursor, its records.

    Events are numbered from 1, in all (`total_order`) and for each data collection (`orders`).
    """

    def __init__(
        self, final_lsn: int, xid: int | None, commit_time: int, received: int
    ) -> None: ...

    @property
    def final_lsn(self) -> int:
        """The commit LSN that Begin promised."""

    @property
    def xid(self) -> int | None:
        """The transaction's id; None for a message outside of transactions."""

    @property
    def commit_time(self) -> int:
        """When it was committed, in microseconds since 1970."""

    @property
    def total_order(self) -> int:
        """How many events there are."""

    @property
    def orders(self) -> dict[str, int]:
        """How many events of each data collection there are, in the order of their first ones."""

    @property
    def lsn(self) -> int:
        """The LSN of the current change."""

    @property
    def index(self) -> int:
        """The place of the current change among those with the same LSN, from 0."""

    @property
    def records(self) -> list[Record]:
        """The records added since the last `release`."""

    @property
    def size(self) -> int:
        """Bytes of these records."""

    @property
    def counts(self) -> Counts:
        """What was counted since the last `release`."""

    @property
    def parked(self) -> list[ParkedNote]:
        """The events that were parked since the last `release`."""

    def set_origin(self, origin: Origin) -> None:
        """Accept the replication origin, which follows the Begin in a message of its own."""

    def resume(self, total_order: int, orders: Mapping[str, int]) -> None:
        """Continue the numbers after the events that an earlier session has published."""

    def step(self, lsn: int) -> None:
        """Move the cursor to the next change."""

    def count(self, key: Count) -> None:
        """Add one to a count."""

    def append(
        self,
        route: TopicRoute,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None = None,
    ) -> None:
        """Add a record that has no number; `key` is without the route's prefix.

        Raises:
            RecordTooLarge: the topic does not take it; nothing has changed.

        """

    def add(self, record: Record) -> None:
        """Add a record that was made and checked by its route."""

    def release(self) -> None:
        """Drop records, counts and notes, because a batch has them now."""


class Envelope(Protocol):
    """Makes the events of one data collection, in the layout of their schema.

    `before` and `after` are encoded rows, or None for null. `own` is the encoded field that only
    this kind of event has: `unchanged` of a table, `message` of a logical message.
    """

    def __init__(self, collection: str, route: TopicRoute, layout: EnvelopeLayout) -> None: ...

    def append(
        self,
        transaction: SourceTransaction,
        op: str,
        before: bytes | None,
        after: bytes | None,
        own: bytes,
        key: bytes | None,
    ) -> None:
        """Encode an event, check it, give it its numbers, count it, and add its record.

        Raises:
            RecordTooLarge: the topic does not take it; nothing has changed.

        """

    def append_rows(
        self, transaction: SourceTransaction, rows: list[tuple[bytes, bytes | None]]
    ) -> None:
        """Append an `r` event for each row with its key; the caller has checked the largest.

        Raises:
            RecordTooLarge: the topic does not take a row; those before it were added.

        """

    def encode(
        self,
        transaction: SourceTransaction,
        op: str,
        before: bytes | None,
        after: bytes | None,
        own: bytes,
        ahead: int,
    ) -> bytes:
        """Return the value of the event that is `ahead` (1 or more) numbers after the last one."""

    def extend(
        self, transaction: SourceTransaction, ops: tuple[str, ...], records: list[Record]
    ) -> None:
        """Give a number to one event for each op, count it, and add the checked records."""

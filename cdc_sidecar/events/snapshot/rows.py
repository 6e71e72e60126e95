"""The `r` events of snapshots: each row of a chunk becomes one."""

from collections.abc import Callable, Sequence
from typing import Final

from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events import twin
from cdc_sidecar.events.binary import EMPTY
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.parking.rows import ParkedRows
from cdc_sidecar.events.ports import Envelope, SourceTransaction, TranscodedLine
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.table import open_envelope
from cdc_sidecar.events.transcode import size_of_line
from cdc_sidecar.postgres.pgoutput import Relation

_MARGIN: Final = 32
"""Bytes by which the numbers of an event may grow within a chunk, and its key's frame."""
INITIAL: Final = "true"
INCREMENTAL: Final = "incremental"
"""The `source.snapshot` of a row: of the first start, or of a snapshot beside the stream."""


class SnapshotRows:
    """Opens an envelope for each relation version that chunks have."""

    def __init__(
        self,
        source: Source,
        registry: Registry,
        catalog: Catalog,
        unwatch: Callable[[int], None],
    ) -> None:
        self._source = source
        self._registry = registry
        self._catalog = catalog
        self.unwatch = unwatch
        self._opened: dict[tuple[Relation, bool], tuple[TopicRoute, Envelope]] = {}
        self._parked: dict[Relation, ParkedRows] = {}

    def publish(
        self, transaction: SourceTransaction, chunk: Chunk, places: Sequence[int] | None
    ) -> int:
        """Add an `r` event for the rows at these places, or for all; return how many there are.

        Those that are refused are parked, if the chunk allows it.

        Raises:
            RecordTooLarge: the topic does not take a row; nothing has changed.

        """
        rows = chunk.rows if places is None else [chunk.rows[place] for place in places]
        if not rows:
            return 0
        route, envelope = self._open(chunk)
        row, key = twin.largest_of(rows)
        event = envelope.encode(transaction, "r", None, row, EMPTY, 1)
        room = route.limit - (len(event) - len(row)) - _MARGIN
        largest = size_of_line((row, key))
        if chunk.refused is not None and (chunk.refused or largest > room):
            places = range(len(chunk.rows)) if places is None else places
            rows = self._park(transaction, chunk, places, (route, room))
        elif largest > room:
            raise route.too_large(route.limit + largest - room)
        envelope.append_rows(transaction, rows)
        return len(rows)

    def _park(
        self,
        transaction: SourceTransaction,
        chunk: Chunk,
        places: Sequence[int],
        limit: tuple[TopicRoute, int],
    ) -> list[TranscodedLine]:
        """Park the rows that cannot be published, and return the others.

        `limit` is the route, and the bytes that it leaves for a row and its key.
        """
        route, room = limit
        parked = self._parked.get(chunk.relation) or self._open_parked(chunk)
        kept = []
        for place in places:
            row = chunk.rows[place]
            error: SidecarError | None = (chunk.refused or {}).get(place)
            if error is None and size_of_line(row) > room:
                error = route.too_large(route.limit + size_of_line(row) - room)
            if error is None:
                kept.append(row)
            else:
                parked.park_line(transaction, chunk.lines[place], error)
        return kept

    def _open_parked(self, chunk: Chunk) -> ParkedRows:
        parked = self._parked[chunk.relation] = ParkedRows.of_table(
            self._source.service, chunk.relation, chunk.plan, self._registry, self._catalog
        )
        return parked

    def _open(self, chunk: Chunk) -> tuple[TopicRoute, Envelope]:
        wanted = (chunk.relation, chunk.after.initial)
        if wanted not in self._opened:
            self._opened[wanted] = open_envelope(
                self._source,
                chunk.relation,
                chunk.plan,
                self._registry,
                self._catalog,
                snapshot=INITIAL if chunk.after.initial else INCREMENTAL,
            )
        return self._opened[wanted]

"""The `r` events of snapshots: each row of a chunk becomes one."""

from collections.abc import Callable
from typing import Final

from cdc_sidecar.events.binary import EMPTY
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.envelope import Source
from cdc_sidecar.events.ports import Envelope, SourceTransaction, TranscodedLine
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.table import open_envelope
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

    def publish(
        self, transaction: SourceTransaction, chunk: Chunk, rows: list[TranscodedLine]
    ) -> None:
        """Add an `r` event for each row.

        Raises:
            RecordTooLarge: the topic does not take a row; nothing has changed.

        """
        if not rows:
            return
        route, envelope = self._open(chunk)
        row, key = max(rows, key=lambda each: len(each[0]) + len(each[1] or b""))
        event = envelope.encode(transaction, "r", None, row, EMPTY, 1)
        _check_size(route, len(event) + len(key or b"") + _MARGIN)
        envelope.append_rows(transaction, rows)

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


def _check_size(route: TopicRoute, size: int) -> None:
    if size > route.limit:
        raise route.too_large(size)

"""Markers: the logical messages that show where in the stream a chunk belongs."""

import secrets
from typing import Final

from cdc_sidecar import failpoints
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.chunk import PREFIX, Chunk
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.postgres.chunks import ChunkReader
from cdc_sidecar.postgres.pgoutput import Relation, ReplicaIdentity

_CONTENT_BYTES: Final = 16  # random: nobody can guess them
_NO_ROWS: Final = Plan((), (), (), b"")


def new_content() -> bytes:
    """Return the content of a new marker."""
    return secrets.token_bytes(_CONTENT_BYTES)


def announce(
    reader: ChunkReader, window: SnapshotWindow, state: TableSnapshot, after: TableSnapshot
) -> Chunk:
    """Publish `after` as the progress of a table, with a chunk that has no rows.

    Raises:
        SidecarError: Postgres is not available.

    """
    namespace, _, name = state.name.partition(".")
    with reader.transaction():
        chunk = Chunk(
            relation=Relation(state.oid, namespace, name, ReplicaIdentity.NOTHING, ()),
            plan=_NO_ROWS,
            identity=(),
            visibility=reader.snapshot(),
            lines=[],
            rows=[],
            before=state,
            after=after,
            asked=(),
            content=new_content(),
            replaces=True,
        )
        return mark(reader, window, chunk)


def mark(reader: ChunkReader, window: SnapshotWindow, chunk: Chunk) -> Chunk:
    """Commit the marker of a chunk that the window expects from now on."""
    failpoints.reach(Failpoint.AFTER_CHUNK_READ)
    chunk.xid = reader.emit(PREFIX, chunk.content)
    window.expect(chunk)
    committed = False
    try:
        reader.commit()
        committed = True
        failpoints.reach(Failpoint.AFTER_MARKER)
    finally:
        if not committed:
            window.withdraw(chunk)
    return chunk

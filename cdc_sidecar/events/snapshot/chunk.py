"""A chunk: rows of one table that were read at one moment, on their way to the stream.

The thread that reads makes it, and then commits a logical message, the marker. The replication
thread publishes the rows where it meets the marker.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Final

from cdc_sidecar.errors import Unrepresentable
from cdc_sidecar.events.copy_line import fields_of
from cdc_sidecar.events.plan import Plan
from cdc_sidecar.events.ports import TranscodedLine
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.visibility import Visibility

PREFIX: Final = "cdc-sidecar.snapshot"
"""The prefix of markers. Anybody may emit such a message, so a marker is known by its content and
its transaction too."""

Identity = tuple[bytes | None, ...]
"""The texts of the columns that tell a row from the others."""


@dataclass(slots=True)
class Chunk:
    """Rows of a table, and what becomes of them."""

    relation: Relation
    plan: Plan
    identity: tuple[int, ...]  # the places of the columns that identify a row
    visibility: Visibility
    lines: list[bytes]  # of COPY
    rows: list[TranscodedLine]
    before: TableSnapshot  # the progress that this chunk follows
    after: TableSnapshot  # the progress once it is published
    asked: tuple[Identity, ...]  # the owed rows that it was to bring
    content: bytes  # of its marker
    xid: int = 0  # of the marker's transaction: 32 bits
    replaces: bool = False  # it has no rows, and only says what the progress is from now on
    placed_at: int = 0  # once it is published: the commit LSN of the marker
    settled: threading.Event = field(default_factory=threading.Event)
    published: bool = False  # once it is settled: whether its rows were published
    refused: dict[int, Unrepresentable] | None = None  # lines to park; None: none may be parked
    superseded: int = 0  # rows that were left out because they had changed
    read_at: float = field(default_factory=time.monotonic)  # when it was read
    size: int = field(init=False)  # bytes of the lines

    _places: dict[Identity, int] | None = None

    def __post_init__(self) -> None:
        """Measure the lines once."""
        self.size = sum(map(len, self.lines))

    @property
    def oid(self) -> int:
        """The oid of the table."""
        return self.relation.oid

    @property
    def places(self) -> dict[Identity, int]:
        """The place of each row by its identity; made when the first change asks for it."""
        if self._places is None:
            rows = map(fields_of, self.lines)
            self._places = {
                tuple(row[column] for column in self.identity): place
                for place, row in enumerate(rows)
            }
        return self._places

    def row(self, identity: Identity) -> list[bytes | None] | None:
        """Return the values of a row, or None if the chunk does not have it."""
        place = self.places.get(identity)
        return None if place is None else fields_of(self.lines[place])

    def settle(self, *, published: bool) -> None:
        """Tell the thread that reads what became of the chunk."""
        self.published = published
        self.settled.set()

"""Which transactions a snapshot of Postgres sees.

PostgreSQL documentation, "pg_snapshot Components": a snapshot speaks of 64-bit transaction ids. The
stream has only their lower 32 bits, so an id of the stream is taken for the one that is nearest to
the snapshot.
"""

from dataclasses import dataclass
from typing import Final

_HALF: Final = 1 << 31
_WHOLE: Final = 1 << 32


def lower_bits(xid: int) -> int:
    """Return the 32 bits of an id that the stream and the catalog show."""
    return xid % _WHOLE


def is_younger(xid: int, other: int) -> bool:
    """Return whether a transaction of the stream has begun after another one, by 32 bits."""
    return 0 < (xid - other) % _WHOLE < _HALF


@dataclass(frozen=True, slots=True)
class Visibility:
    """A snapshot: it sees the ids below `xmax` that are not among the `running` ones."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Visibility":
        """Read the text of `pg_current_snapshot()`, such as `100:104:100,102`.

        Raises:
            ValueError: it is something else.

        """
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def widen(self, xid: int) -> int:
        """Return the 64-bit id of a transaction whose lower 32 bits the stream has sent."""
        return self.xmax + (xid - self.xmax + _HALF) % _WHOLE - _HALF

    def sees(self, xid: int) -> bool:
        """Return whether the snapshot sees a transaction of the stream, given by 32 bits."""
        wide = self.widen(xid)
        return wide < self.xmax and wide not in self.running

"""When the source transactions of a batch were committed in Postgres, for latency and lag."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

RESOLUTION: Final = 1000
"""Microseconds. Transactions that were committed within this time count as one moment, so that a
batch of many small transactions stays small: the narrowest bucket of the latency is wider."""


@dataclass(slots=True)
class CommitTimes:
    """Moments in microseconds since 1970, in the order of the stream, each with a count.

    The count is the number of source transactions with events; it is 0 for a part of one whose end
    has not come.
    """

    _runs: list[list[int]] = field(default_factory=list)

    def add(self, moment: int, count: int = 1) -> None:
        """Add transactions that were committed at a moment; called for every transaction."""
        runs = self._runs
        if runs and 0 <= moment - runs[-1][0] < RESOLUTION:
            runs[-1][1] += count
        else:
            runs.append([moment, count])

    def extend(self, more: "CommitTimes") -> None:
        """Add the moments of what follows in the stream."""
        for moment, count in more:
            self.add(moment, count)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield each moment and its count."""
        return ((moment, count) for moment, count in self._runs)

    @property
    def first(self) -> int | None:
        """The moment of the first transaction; None without one."""
        return self._runs[0][0] if self._runs else None

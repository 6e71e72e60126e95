"""The phases of a table's snapshot, and how the table is divided."""

from enum import StrEnum
from typing import Final

BY_PAGES: Final = "ctid"
BY_KEY: Final = "key"
"""How a table is divided into chunks."""


class SnapshotPhase(StrEnum):
    """Where the snapshot of a table is."""

    NONE = "none"  # the table has had none
    WAITING = "waiting"  # nothing is read yet
    READING = "reading"
    READ = "read"  # everything is read, and some rows are owed
    DONE = "done"
    INCOMPLETE = "incomplete"  # it was complete, until changes of the stream were lost
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether rows are still to be published."""
        return self in (SnapshotPhase.WAITING, SnapshotPhase.READING, SnapshotPhase.READ)

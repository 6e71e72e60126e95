"""What the log and the metrics say of a parked event: where it came from, never its values."""

from typing import NamedTuple


class ParkedNote(NamedTuple):
    """One parked event; `key_hash` is the beginning of the SHA-256 of its record's key."""

    origin: str  # the table, or the name of the outbox
    code: str  # of the error that would have halted the sidecar
    event_type: str | None  # None: not of an outbox
    commit_lsn: int
    lsn: int
    key_hash: str

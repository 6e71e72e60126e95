"""The sessions of this process and the outages of Kafka that it saw, for `/status`.

They are derived from the changes of the status, so no thread has to report them. Sessions that end
one after the other with the same error, before they stream, are one entry with their number.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from cdc_sidecar.runtime.status import Phase, Status
from cdc_sidecar.wording import first_line

KEPT: Final = 50
"""Entries of each kind; older ones are forgotten."""
DAY: Final = 86_400.0
"""Seconds for which an entry that has ended is shown."""
_ENDS: Final = frozenset({Phase.BACKING_OFF, Phase.HALTED, Phase.STOPPED})


@dataclass(slots=True)
class SessionEntry:
    """One session, or several that failed in the same way; times are seconds since 1970."""

    number: int
    began_at: float
    streamed_at: float | None = None
    ended_at: float | None = None
    error_code: str | None = None  # None also after an end in order
    error: str | None = None  # the first line of its text
    repeated: int = 1  # sessions in a row that ended so

    def continues(self, error_code: str) -> bool:
        """Whether this entry may stand for another session with the error as well."""
        return bool(error_code) and self.error_code == error_code


@dataclass(slots=True)
class OutageEntry:
    """A time in which Kafka did not answer."""

    began_at: float
    ended_at: float | None = None
    reason: str | None = None


_Entry = TypeVar("_Entry", SessionEntry, OutageEntry)


class Journal:
    """What has happened; `observe` is called under the lock of the status board."""

    def __init__(self) -> None:
        self._sessions: deque[SessionEntry] = deque(maxlen=KEPT)
        self._outages: deque[OutageEntry] = deque(maxlen=KEPT)

    def observe(self, before: Status, after: Status, now: float) -> None:
        """Take a change of the status."""
        if after.session != before.session:
            self._end(None, None, now)
            self._sessions.append(SessionEntry(after.session, now))
        elif after.phase is not before.phase:
            self._turn(after, now)
        self._watch_kafka(before, after, now)

    def _turn(self, status: Status, now: float) -> None:
        present = self._sessions[-1] if self._sessions else None
        if status.phase is Phase.STREAMING and present:
            present.streamed_at = now
        elif status.phase in _ENDS:
            self._end(status.error_code or None, status.error, now)

    def _end(self, error_code: str | None, error: str | None, now: float) -> None:
        present = self._sessions[-1] if self._sessions else None
        if present is None or present.ended_at is not None:
            return
        present.ended_at, present.error_code = now, error_code
        present.error = first_line(error) if error else None
        earlier = self._sessions[-2] if len(self._sessions) > 1 else None
        if earlier and earlier.continues(error_code or "") and present.streamed_at is None:
            self._sessions.pop()
            earlier.repeated += 1
            earlier.number, earlier.ended_at, earlier.error = present.number, now, present.error

    def _watch_kafka(self, before: Status, after: Status, now: float) -> None:
        last = self._outages[-1] if self._outages else None
        is_open = last is not None and last.ended_at is None
        if after.kafka_reachable and last and is_open:
            last.ended_at = now
        elif before.kafka_reachable and not after.kafka_reachable:
            self._outages.append(OutageEntry(now, reason=after.kafka_reason))
        elif last and is_open and after.kafka_reason:
            last.reason = after.kafka_reason

    def as_json(self, now: float) -> dict[str, Any]:
        """Return the entries of the last day for `/status`, newest first."""
        return {
            "sessions": [asdict(entry) for entry in _recent(self._sessions, now)],
            "kafka_outages": [asdict(entry) for entry in _recent(self._outages, now)],
        }


def _recent(entries: Iterable[_Entry], now: float) -> list[_Entry]:
    recent = [entry for entry in entries if entry.ended_at is None or now - entry.ended_at < DAY]
    return recent[::-1]

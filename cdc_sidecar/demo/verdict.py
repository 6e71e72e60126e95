"""The demo's verdict: every event arrived exactly once, and together they make up the tables.

This module is pure. The expected events come from the oracle, the seen events from a
`read_committed` consumer, and the rows from the tables. The sidecar's own metrics are not used.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

Row = Mapping[str, str | None]
"""A row in Postgres's own text, by column; NULL is None."""

TableRows = dict[str, Row]
"""The rows of one table by key, spelled as `Event.key`."""

TOMBSTONE: Final = "tombstone"
OUTBOX: Final = "outbox"
READ: Final = "r"
"""The op of a row that is older than the slot; the oracle, which is a slot, does not expect it."""
_SHOWN: Final = 5  # examples below the report: enough to start a search


@dataclass(frozen=True, slots=True)
class Event:
    """One record of a topic: its identity and its content.

    `identity` is "commit LSN/total order" (docs/reference/events.md), the id of an outbox row, or
    the word tombstone. `unchanged` has the columns whose value was not sent.
    """

    topic: str
    key: str  # JSON list of the key's values
    identity: str
    op: str  # c, u, d, r, tombstone, outbox
    before: Row | None = None
    after: Row | None = None
    unchanged: tuple[str, ...] = ()

    @property
    def content(self) -> int:
        """A digest of its content."""
        rows = (frozenset(row.items()) if row is not None else None for row in self.rows)
        return hash((*rows, self.unchanged))

    @property
    def rows(self) -> tuple[Row | None, Row | None]:
        """The row before and after."""
        return self.before, self.after


@dataclass(frozen=True, slots=True)
class _Entry:
    """The part of an event that is kept until its counterpart arrives."""

    identity: str
    op: str
    content: int

    @property
    def name(self) -> tuple[str, str]:
        """The part by which an event and its counterpart are matched."""
        return self.identity, self.op


@dataclass(slots=True)
class _Unmatched:
    """The events of one key that have no counterpart yet, in order."""

    expected: deque[_Entry] = field(default_factory=deque)
    seen: deque[_Entry] = field(default_factory=deque)

    def settle(self) -> bool:
        """Drop pairs of equal events from the front; return whether nothing is left."""
        while self.expected and self.seen and self.expected[0] == self.seen[0]:
            self.expected.popleft()
            self.seen.popleft()
        return not (self.expected or self.seen)


@dataclass(slots=True)
class Verdict:
    """The counts. All but `events` must be 0 or empty."""

    events: int = 0
    lost: int = 0
    repeated: int = 0
    altered: int = 0  # came once, with other content
    misordered: int = 0  # keys whose events arrived in another order
    different: tuple[str, ...] = ()  # tables that differ from the rebuilt ones
    details: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether there were events and nothing is wrong with any of them."""
        wrong = self.lost or self.repeated or self.altered or self.misordered or self.different
        return self.events > 0 and not wrong

    def __str__(self) -> str:
        """Return the verdict in one line: `N events, 0 lost, 0 repeated, tables equal`."""
        tables = f"tables differ: {', '.join(self.different)}" if self.different else "tables equal"
        altered = [f"{self.altered} altered"] if self.altered else []
        misordered = [f"{self.misordered} keys out of order"] if self.misordered else []
        counts = [f"{self.events} events", f"{self.lost} lost", f"{self.repeated} repeated"]
        return ", ".join([*counts, *altered, *misordered, tables])


class Tally:
    """Compares the expected events with the seen ones, key by key and in order.

    A key whose events agree takes no memory, so a demo can run for any time.
    """

    def __init__(self) -> None:
        """Start without events."""
        self._keys: dict[tuple[str, str], _Unmatched] = {}
        self._events = 0
        self._read: set[tuple[str, str]] = set()  # topic and key of each row of a snapshot
        self._read_again = 0

    def expect(self, event: Event) -> None:
        """Add an event that the oracle expects."""
        self._unmatched(event).expected.append(_Entry(event.identity, event.op, event.content))
        self._settle(event)

    def see(self, event: Event) -> None:
        """Add an event that a consumer saw. Whether an older row is lost, the tables show."""
        self._events += event.op != TOMBSTONE
        if event.op == READ:
            self._read_again += (event.topic, event.key) in self._read
            self._read.add((event.topic, event.key))
            return
        self._unmatched(event).seen.append(_Entry(event.identity, event.op, event.content))
        self._settle(event)

    @property
    def rows_read(self) -> int:
        """How many rows are older than the slot."""
        return len(self._read)

    def judge(self, different: Iterable[str]) -> Verdict:
        """Return the verdict, given the tables that differ. Both sides must be complete."""
        again, different = self._read_again, tuple(different)
        verdict = Verdict(self._events, repeated=again, different=different)
        for (topic, key), unmatched in self._keys.items():
            _judge_key(verdict, f"{topic} {key}", unmatched)
        return verdict

    def _unmatched(self, event: Event) -> _Unmatched:
        return self._keys.setdefault((event.topic, event.key), _Unmatched())

    def _settle(self, event: Event) -> None:
        if self._unmatched(event).settle():
            del self._keys[event.topic, event.key]


def _judge_key(verdict: Verdict, key: str, unmatched: _Unmatched) -> None:
    expected = Counter(entry.name for entry in unmatched.expected)
    seen = Counter(entry.name for entry in unmatched.seen)
    lost, repeated = expected - seen, seen - expected
    contents = {entry.name: entry.content for entry in unmatched.seen}
    altered = [
        entry.name
        for entry in unmatched.expected
        if entry.op != TOMBSTONE and contents.get(entry.name, entry.content) != entry.content
    ]
    verdict.lost += lost.total()
    verdict.repeated += repeated.total()
    verdict.altered += len(altered)
    verdict.misordered += not (lost or repeated or altered)
    kinds = {"lost": lost, "repeated": repeated, "altered": altered}
    wrong = [f"{kind}: {key} {op} {name}" for kind, names in kinds.items() for name, op in names]
    room = max(0, _SHOWN - len(verdict.details))
    verdict.details += (wrong or [f"out of order: {key}"])[:room]


class Replica:
    """The tables as a consumer can rebuild them from the events alone."""

    def __init__(self) -> None:
        """Start with empty tables."""
        self._tables: dict[str, dict[str, Row]] = {}

    def apply(self, event: Event) -> None:
        """Apply the next event. The events of one key must come in order."""
        rows = self._tables.setdefault(event.topic, {})
        if event.op in ("d", TOMBSTONE):
            rows.pop(event.key, None)
        elif event.after is not None and event.op != OUTBOX:
            known = rows.get(event.key, {})
            kept = {name: known.get(name) for name in event.unchanged}
            rows[event.key] = {**event.after, **kept}

    def differences(self, tables: Mapping[str, TableRows]) -> list[str]:
        """Return the topics whose rebuilt rows differ. A column that a row lacks counts as NULL."""
        return [topic for topic, actual in tables.items() if not _agree(self._rows(topic), actual)]

    def count(self, topic: str) -> int:
        """Return the number of rebuilt rows of a topic."""
        return len(self._rows(topic))

    def _rows(self, topic: str) -> Mapping[str, Row]:
        return self._tables.get(topic, {})


def _agree(rebuilt: Mapping[str, Row], actual: TableRows) -> bool:
    return rebuilt.keys() == actual.keys() and all(
        rebuilt[key].keys() <= row.keys()
        and all(rebuilt[key].get(name) == value for name, value in row.items())
        for key, row in actual.items()
    )

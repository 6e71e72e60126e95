"""The demo's verdict: each event seen exactly once, and the tables are what they add up to.

Pure: expected events come from the oracle, seen ones from a `read_committed` consumer, rows from
the tables themselves. Nothing that the sidecar says about itself counts.
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
_SHOWN: Final = 5  # examples in the details


@dataclass(frozen=True, slots=True)
class Event:
    """One record of a topic: what makes it that event, and what it says.

    `identity` is "commit LSN/total order" (contract, "transaction"), an outbox row's id, or the
    word tombstone; `unchanged` are columns whose value was not sent.
    """

    topic: str
    key: str  # JSON list of the key's values
    identity: str
    op: str  # c, u, d, tombstone, outbox
    before: Row | None = None
    after: Row | None = None
    unchanged: tuple[str, ...] = ()

    @property
    def content(self) -> int:
        """A digest of what it says."""
        rows = (frozenset(row.items()) if row is not None else None for row in self.rows)
        return hash((*rows, self.unchanged))

    @property
    def rows(self) -> tuple[Row | None, Row | None]:
        """The row before and after."""
        return self.before, self.after


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept of an event until its counterpart has come."""

    identity: str
    op: str
    content: int

    @property
    def name(self) -> tuple[str, str]:
        """What makes it that event."""
        return self.identity, self.op


@dataclass(slots=True)
class _Lane:
    """The events of one key that have not met their counterpart, in order."""

    expected: deque[_Entry] = field(default_factory=deque)
    seen: deque[_Entry] = field(default_factory=deque)

    def settle(self) -> bool:
        """Let equal heads go; tell whether nothing is left."""
        while self.expected and self.seen and self.expected[0] == self.seen[0]:
            self.expected.popleft()
            self.seen.popleft()
        return not (self.expected or self.seen)


@dataclass(slots=True)
class Verdict:
    """The counts; everything but `events` must be nothing."""

    events: int = 0
    lost: int = 0
    repeated: int = 0
    altered: int = 0  # came once, but say something else
    misordered: int = 0  # keys whose events came in another order
    different: tuple[str, ...] = ()  # tables that the events do not add up to
    details: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether there were events and nothing is wrong with any of them."""
        wrong = self.lost or self.repeated or self.altered or self.misordered or self.different
        return self.events > 0 and not wrong

    def __str__(self) -> str:
        """Return the one line: `N events, 0 lost, 0 repeated, tables equal`."""
        tables = f"tables differ: {', '.join(self.different)}" if self.different else "tables equal"
        altered = [f"{self.altered} altered"] if self.altered else []
        misordered = [f"{self.misordered} keys out of order"] if self.misordered else []
        counts = [f"{self.events} events", f"{self.lost} lost", f"{self.repeated} repeated"]
        return ", ".join([*counts, *altered, *misordered, tables])


class Ledger:
    """Sets the events that must come against those that came, key by key and in order.

    A key whose events agree takes no memory, so it may run for as long as it likes.
    """

    def __init__(self) -> None:
        """Begin with nothing expected and nothing seen."""
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._events = 0

    def expect(self, event: Event) -> None:
        """Take an event that the oracle knows of."""
        self._lane(event).expected.append(_Entry(event.identity, event.op, event.content))
        self._settle(event)

    def see(self, event: Event) -> None:
        """Take an event that a consumer saw."""
        self._events += event.op != TOMBSTONE
        self._lane(event).seen.append(_Entry(event.identity, event.op, event.content))
        self._settle(event)

    def judge(self, different: Iterable[str]) -> Verdict:
        """Return the verdict, given the tables that differ; both sides must be complete."""
        verdict = Verdict(self._events, different=tuple(different))
        for (topic, key), lane in self._lanes.items():
            _judge_lane(verdict, f"{topic} {key}", lane)
        return verdict

    def _lane(self, event: Event) -> _Lane:
        return self._lanes.setdefault((event.topic, event.key), _Lane())

    def _settle(self, event: Event) -> None:
        if self._lane(event).settle():
            del self._lanes[event.topic, event.key]


def _judge_lane(verdict: Verdict, place: str, lane: _Lane) -> None:
    expected = Counter(entry.name for entry in lane.expected)
    seen = Counter(entry.name for entry in lane.seen)
    lost, repeated = expected - seen, seen - expected
    said = {entry.name: entry.content for entry in lane.seen}
    altered = [
        entry.name
        for entry in lane.expected
        if entry.op != TOMBSTONE and said.get(entry.name, entry.content) != entry.content
    ]
    verdict.lost += lost.total()
    verdict.repeated += repeated.total()
    verdict.altered += len(altered)
    verdict.misordered += not (lost or repeated or altered)
    kinds = {"lost": lost, "repeated": repeated, "altered": altered}
    wrong = [f"{kind}: {place} {op} {name}" for kind, names in kinds.items() for name, op in names]
    room = max(0, _SHOWN - len(verdict.details))
    verdict.details += (wrong or [f"out of order: {place}"])[:room]


class Replica:
    """The tables as a consumer rebuilds them from the events alone."""

    def __init__(self) -> None:
        """Begin with empty tables."""
        self._tables: dict[str, dict[str, Row]] = {}

    def apply(self, event: Event) -> None:
        """Take the next event; those of one key must come in their order."""
        rows = self._tables.setdefault(event.topic, {})
        if event.op in ("d", TOMBSTONE):
            rows.pop(event.key, None)
        elif event.after is not None and event.op != OUTBOX:
            known = rows.get(event.key, {})
            kept = {name: known.get(name) for name in event.unchanged}
            rows[event.key] = {**event.after, **kept}

    def differences(self, tables: Mapping[str, TableRows]) -> list[str]:
        """Return the topics whose rows are not the table's; a column added later is NULL here."""
        return [topic for topic, actual in tables.items() if not _agree(self._rows(topic), actual)]

    def count(self, topic: str) -> int:
        """Return how many rows the table of a topic has."""
        return len(self._rows(topic))

    def _rows(self, topic: str) -> Mapping[str, Row]:
        return self._tables.get(topic, {})


def _agree(rebuilt: Mapping[str, Row], actual: TableRows) -> bool:
    return rebuilt.keys() == actual.keys() and all(
        rebuilt[key].keys() <= row.keys()
        and all(rebuilt[key].get(name) == value for name, value in row.items())
        for key, row in actual.items()
    )

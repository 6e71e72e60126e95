"""What was published of each table and outbox: counts, rates and the time of the last event."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cdc_sidecar.checks.preflight import captured
from cdc_sidecar.config.model import Config
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.counts import PUBLISHED
from cdc_sidecar.events.message import COLLECTION
from cdc_sidecar.events.names import message_topic, table_topic
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.runtime.latencies import Latencies

SHOWN: Final = 100
"""Tables and outboxes that `/status` lists."""
MOST: Final = 5000
"""Tables and outboxes that are counted: further ones are not."""
LATELY: Final = 3600.0
"""Seconds for which the page asks a person to look after a parked event."""
_TYPES: Final = 20
"""Event types of one outbox that are counted apart."""
OTHER: Final = "other"
"""The event types beyond them."""
_SPANS: Final = 6
_SPAN: Final = 10.0
"""Seconds: the rate of a table is that of the last six spans, the present one included."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where events come from: a table, an outbox or the logical messages, and where they go."""

    name: str
    kind: str  # `table`, `outbox` or `messages`
    topic: str  # of an outbox with its columns in braces


def origins(config: Config, capture: Capture, tables: Iterable[PublishedTable]) -> list[Origin]:
    """Return the origins of a session that has found these tables in the publication."""
    relations = [table.relation for table in captured(list(tables), capture)]
    outboxes = [Origin(box.name, "outbox", box.topic) for box in config.outboxes]
    messages = [Origin(COLLECTION, "messages", message_topic(capture.service))]
    return [
        *outboxes,
        *(messages if config.messages.prefixes else ()),
        *(
            Origin(r.qualified_name, "table", table_topic(capture.service, r.namespace, r.name))
            for r in relations
            if not capture.outbox(r.qualified_name)
        ),
    ]


@dataclass(slots=True)
class _Tally:
    """The sums of one origin; only the publisher changes them."""

    origin: Origin
    counts: Counter[str] = field(default_factory=Counter)
    spans: list[tuple[int, int]] = field(default_factory=lambda: [(-_SPANS, 0)] * _SPANS)
    last_at: float | None = None
    parked: int = 0
    parked_at: float | None = None

    def add(self, detail: str, count: int, span: int, at: float) -> None:
        known = detail in self.counts or len(self.counts) < _TYPES
        self.counts[detail if known else OTHER] += count
        place = span % _SPANS
        number, before = self.spans[place]
        self.spans[place] = (span, count + (before if number == span else 0))
        self.last_at = at

    def recent(self, span: int) -> int:
        """Return the events of the last spans up to this one."""
        return sum(count for number, count in self.spans if span - number < _SPANS)


class Activity:
    """Sums by origin, and over all. The publisher adds, and any thread reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._tallies: dict[str, _Tally] = {}
        self.latencies = Latencies()
        self.events = 0
        self.bytes = 0
        self.parked = 0
        self._parked_at: float | None = None  # of the last parked event, by the clock

    def expect(self, found: Iterable[Origin]) -> None:
        """Show these origins from now on; those that no session finds any more are left out."""
        known = {origin.name: origin for origin in found}
        tallies = {name: self._tallies.get(name) for name in list(known)[:MOST]}
        self._tallies = {
            name: _Tally(known[name]) if tally is None else _moved(tally, known[name])
            for name, tally in tallies.items()
        }

    def committed(self, batch: Batch, now: float) -> None:
        """Add a committed Kafka transaction; `now` is seconds since 1970."""
        span = int(self._clock() / _SPAN)
        for (counted, name, detail), count in batch.counts.items():
            if counted in PUBLISHED:
                self.events += count
                tally = self._tallies.get(name)
                if tally:
                    tally.add(detail, count, span, now)
        for note in batch.parked:
            tally = self._tallies.get(note.origin)
            if tally:
                tally.parked += 1
                tally.parked_at = now
        if batch.parked:
            self.parked += len(batch.parked)
            self._parked_at = self._clock()
        self.bytes += batch.size

    def as_json(self) -> dict[str, Any]:
        """Return the origins for `/status`: the most active ones, and how many are left out."""
        span = int(self._clock() / _SPAN)
        recent = [(tally.recent(span), tally) for tally in self._tallies.values()]
        recent.sort(key=_prominence)
        shown = [self._spell(tally, events) for events, tally in recent[:SHOWN]]
        at = self._parked_at
        lately = at is not None and self._clock() - at < LATELY
        parked = {"total": self.parked, "lately": lately}
        return {"total": len(recent), "shown": shown, "parked": parked}

    def _spell(self, tally: _Tally, events: int) -> dict[str, Any]:
        now = self._clock()
        seconds = max(1.0, min(now - self._began, (_SPANS - 1) * _SPAN + now % _SPAN))
        return {
            "name": tally.origin.name,
            "kind": tally.origin.kind,
            "topic": tally.origin.topic,
            "events_per_second": round(events / seconds, 2),
            "counts": dict(tally.counts),
            "last_event_at": tally.last_at,
            "parked": tally.parked,
            "last_parked_at": tally.parked_at,
        }


def _prominence(pair: tuple[int, _Tally]) -> tuple[int, int, float, str]:
    """Order tallies with their recent events: what has parked something, then the most active."""
    events, tally = pair
    return -tally.parked, -events, -(tally.last_at or 0.0), tally.origin.name


def _moved(tally: _Tally, origin: Origin) -> _Tally:
    tally.origin = origin
    return tally

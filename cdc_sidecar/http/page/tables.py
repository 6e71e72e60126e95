"""The tables and outboxes: the most active ones first, with what was published of each."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cdc_sidecar.http.page.markup import Html, card, element, join, moment
from cdc_sidecar.wording import number, rate

Origin = Mapping[str, Any]
SHOWN: Final = 50
"""Rows of the table: a person reads no more, and a phone draws them at once."""
_HEADINGS: Final = (
    "Table or outbox",
    "Rate",
    "Inserts",
    "Updates",
    "Deletes",
    "Snapshot",
    "Parked",
    "Last event",
    "Schema",
)
_NOTHING: Final = frozenset({"0", "0/s", "–", "none"})
_TYPES: Final = 5
"""Event types of an outbox that are named."""


def tables(body: Mapping[str, Any], now: float) -> Html:
    """Return the card of the tables."""
    known, shown = body["tables"]["total"], body["tables"]["shown"][:SHOWN]
    if not shown:
        standby = body["phase"] == "waiting"
        text = "A standby publishes nothing." if standby else "No session has streamed yet."
        return card("tables", "Tables and outboxes", element("p", text, class_="remark"))
    left = known - len(shown)
    more = f"{left:,} less active ones are left out" if left else None
    head = element("thead", element("tr", *(element("th", name) for name in _HEADINGS)))
    rows = element("tbody", *(_row(origin, now) for origin in shown))
    table = element("table", head, rows)
    note = f"{known:,}, since the process started"
    rest = element("p", more, class_="remark") if more else None
    return card("tables", "Tables and outboxes", _snapshots(body), table, rest, note=note)


def _snapshots(body: Mapping[str, Any]) -> Html | None:
    """Return a line about all snapshots while one is under way."""
    snapshot = body["snapshot"]
    if not snapshot or not snapshot["running"]:
        return None
    done, total = snapshot["phases"].get("done", 0), sum(snapshot["phases"].values())
    parts = [f"Snapshot: {done:,} of {number(total, 'table')} complete"]
    parts += [rate(snapshot["rows_per_second"], "rows")]
    if snapshot["eta_seconds"] is not None:
        parts.append(f"about {_left(snapshot['eta_seconds'])} left")
    waits = snapshot["waits"]
    parts += [f"waits: {waits['for']}"] if waits else []
    return element("p", ", ".join(parts), class_="remark running")


def _left(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 1 else f"{minutes:,.0f} min"


def _row(origin: Origin, now: float) -> Html:
    snapshot = _snapshot(origin["snapshot"])
    cells = [
        element("th", _name(origin), scope="row"),
        _cell("Rate", rate(origin["events_per_second"], "").replace(" /s", "/s"), "number"),
        *_counts(origin),
        _cell("Snapshot", snapshot, "wide" if "<svg" in snapshot else ""),
        _parked(origin, now),
        _cell("Last event", moment(origin["last_event_at"], now, otherwise="none")),
        _cell("Schema", _schema(origin)),
    ]
    active = "" if origin["events_per_second"] else "idle"
    return element("tr", *cells, class_=active or None)


def _cell(label: str, content: str, kind: str = "", **more: str) -> Html:
    """Return a cell; on a phone, one without a value is left out."""
    nothing = "none" if content in _NOTHING else ""
    class_ = " ".join(filter(None, (kind, nothing)))
    return element("td", content, data_label=label, class_=class_ or None, **more)


def _name(origin: Origin) -> Html:
    below = [element("small", origin["topic"], class_="topic")]
    below += [element("small", text) for text in _others(origin)]
    return join(element("span", origin["name"], class_="name"), *below)


def _others(origin: Origin) -> Iterator[str]:
    """Yield what has no column: truncates and rows without a column of their own."""
    counts = origin["counts"]
    if origin["kind"] == "outbox":
        most = sorted(counts.items(), key=lambda item: -item[1])
        names = ", ".join(f"{name} {count:,}" for name, count in most[:_TYPES])
        yield names + (f" and {len(most) - _TYPES} more types" if len(most) > _TYPES else "")
    if counts.get("t"):
        yield number(counts["t"], "truncate")


def _counts(origin: Origin) -> list[Html]:
    counts = origin["counts"]
    if origin["kind"] == "table":
        ops = (("Inserts", "c"), ("Updates", "u"), ("Deletes", "d"))
        return [_cell(name, f"{counts.get(op, 0):,}", "number") for name, op in ops]
    total = sum(counts.values())
    shown = number(total, "event") if total else "0"
    return [_cell("Published", shown, "number", colspan="3")]


def _snapshot(progress: Mapping[str, Any] | None) -> Html:
    if progress is None or progress["phase"] == "none":
        return Html("–")
    phase, rows = progress["phase"], progress["rows"]
    if phase == "done":
        return join(f"{number(rows, 'row')}, complete")
    if phase in ("failed", "incomplete"):
        return element("span", phase, class_="bad", title=progress["error"])
    if phase == "waiting" and not rows:
        return Html("waiting")
    return _progress(progress)


def _parked(origin: Origin, now: float) -> Html:
    count = origin["parked"]
    if not count:
        return _cell("Parked", "0", "number")
    last = moment(origin["last_parked_at"], now, otherwise="")
    shown = join(element("span", f"{count:,}", class_="bad"), element("small", last))
    return _cell("Parked", shown, "number")


def _progress(progress: Mapping[str, Any]) -> Html:
    share = progress["ratio"]
    drawn = element(
        "svg",
        element("rect", class_="rail", width="100%", height="6", rx="3"),
        element("rect", class_="fill good", width=f"{share * 100:.1f}%", height="6", rx="3"),
        class_="bar small",
        role="img",
        aria_label=f"{share:.0%}",
    )
    word = "paused" if progress["paused"] else progress["phase"]
    text = f"{share:.0%} {word}, {progress['rows']:,} of about {progress['estimated_rows']:,} rows"
    return join(drawn, element("small", text))


def _schema(origin: Origin) -> Html:
    schema = origin["schema"]
    if schema is None:
        return Html("–")
    version = schema["version"]
    subject = element("a", f"version {version}", href=_address(schema["subject"], version))
    return join(subject)


def _address(subject: str, version: int) -> str:
    return f"/subjects/{subject}/versions/{version}"

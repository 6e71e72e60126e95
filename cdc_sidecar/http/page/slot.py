"""The slot: what Postgres keeps for it, how much more is safe, and how long that lasts."""

from collections.abc import Mapping
from typing import Any, Final

from cdc_sidecar.http.page.markup import Html, card, element, facts, moment
from cdc_sidecar.wording import number, size, span

Slot = Mapping[str, Any]
_TONES: Final = {"reserved": "good", "extended": "warn", "unreserved": "bad", "lost": "bad"}
_ROOM: Final = 0.6
_LITTLE_ROOM: Final = 0.85
"""Parts of the limit from which the bar is amber, and red."""
_NO_LIMIT: Final = (
    "No limit is set (max_slot_wal_keep_size): while the sidecar is down, WAL may fill the disk."
)


def slot(body: Mapping[str, Any], now: float) -> Html:
    """Return the card of the slot."""
    seen: Slot = body["slot"]
    if seen["seen_at"] is None:
        unseen = element("p", "Postgres has not been asked for it yet.", class_="remark")
        return card("slot", f"Slot {seen['name']}", unseen)
    state = element("span", seen["wal_status"], class_=f"chip {_tone(seen)}")
    looked = element("span", "seen ", moment(seen["seen_at"], now), class_="note")
    heading = element("div", element("h2", f"Slot {seen['name']}"), state, looked, class_="heading")
    return element(
        "section",
        heading,
        _bar(seen),
        facts(*_facts(seen), *_reading(body)),
        id="slot",
        class_="card",
    )


def _tone(seen: Slot) -> str:
    return "bad" if seen["invalidation_reason"] else _TONES.get(seen["wal_status"], "quiet")


def _bar(seen: Slot) -> Html:
    """Return a bar against the limit, or a remark that there is none."""
    limit, retained = seen["limit_bytes"], seen["retained_bytes"] or 0
    if limit is None:
        lost = _tone(seen) == "bad"
        return element("p", "" if lost else _NO_LIMIT, class_="remark warn" if not lost else "gone")
    share = min(1.0, retained / limit) if limit else 1.0
    tone = "good" if share < _ROOM else "warn" if share < _LITTLE_ROOM else "bad"
    width = f"{max(0.6, share * 100):.1f}%"
    drawn = element(
        "svg",
        element("rect", class_="rail", width="100%", height="12", rx="6"),
        element("rect", class_=f"fill {tone}", width=width, height="12", rx="6"),
        role="img",
        aria_label=f"{share:.0%} of the limit is used",
        class_="bar",
    )
    scale = element(
        "p",
        element("span", f"{size(retained)} kept ({share:.0%})"),
        element("span", f"limit about {size(limit)}"),
        class_="scale",
    )
    return element("div", drawn, scale)


def _facts(seen: Slot) -> list[tuple[str, str | None]]:
    retained, safe, left = seen["retained_bytes"], seen["safe_wal_size"], seen["seconds_left"]
    lag = seen["confirmed_lag_bytes"]
    return [
        ("WAL kept", None if retained is None else size(retained)),
        ("May still be written", "no limit set" if safe is None else size(max(0, safe))),
        ("Time left", "not in danger" if left is None else span(left)),
        ("Not confirmed", None if lag is None else size(max(0, lag))),
        ("Invalidated", seen["invalidation_reason"]),
    ]


def _reading(body: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    walsender, decoded = body["walsender"], body["slot"]["decoded"]
    pid, state = body["backend_pid"], (walsender or {}).get("state")
    spilled = decoded and decoded["spilled_bytes"]
    return [
        ("Read by", f"process {pid}{f', {state}' if state else ''}" if pid else "nobody"),
        ("Decoded", decoded and f"{number(decoded['transactions'], 'transaction')}"),
        ("Spilled to disk", size(spilled) if spilled else None),
    ]

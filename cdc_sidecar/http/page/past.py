"""What has happened in the last day: sessions, their errors, and outages of Kafka."""

from collections.abc import Mapping
from typing import Any, Final

from cdc_sidecar.http.documentation import error_page, page_url
from cdc_sidecar.http.page.markup import Html, card, element, join, lasting, moment
from cdc_sidecar.wording import span

Entry = Mapping[str, Any]
SHOWN: Final = 20
"""Entries that the page shows."""


def past(body: Mapping[str, Any], now: float) -> Html:
    """Return the card of sessions and outages, newest first."""
    entries = [(entry["began_at"], _session(entry, now)) for entry in body["sessions"]]
    entries += [(entry["began_at"], _outage(entry, now)) for entry in body["kafka_outages"]]
    entries.sort(key=lambda entry: -entry[0])
    shown = [item for _, item in entries[:SHOWN]]
    left = len(entries) - len(shown)
    rest = element("p", f"{left} earlier ones are left out", class_="remark") if left else None
    note = "since the process started, at most a day"
    return card(
        "past",
        "Sessions and errors",
        element("ol", *shown, class_="past") if shown else element("p", "None yet."),
        rest,
        note=note,
    )


def _item(tone: str, title: str, *more: str | None) -> Html:
    text = element("p", element("b", title), " ", *more)
    return element("li", element("span", class_=f"light {tone}"), text)


def _session(entry: Entry, now: float) -> Html:
    title = f"Session {entry['number']}"
    if entry["ended_at"] is None:
        return _present(title, entry, now)
    tries = entry["repeated"]
    often = f", after {tries} sessions in a row" if tries > 1 else ""
    streamed = entry["streamed_at"]
    length = f" It streamed for {span(entry['ended_at'] - streamed)}." if streamed else ""
    ended = ("ended ", moment(entry["ended_at"], now))
    if entry["error_code"] is None:
        return _item("quiet", title, *ended, f" in order.{length}")
    return _item(
        "warn", title, *ended, f"{often} with ", _error(entry), f".{length}" if length else None
    )


def _present(title: str, entry: Entry, now: float) -> Html:
    if entry["streamed_at"]:
        return _item("good", title, "has been streaming ", lasting(entry["streamed_at"], now))
    return _item("quiet", title, "began ", moment(entry["began_at"], now))


def _error(entry: Entry) -> Html:
    """Return the error with a link to what the documentation says of its code."""
    code, text = entry["error_code"], entry["error"] or ""
    link = element("a", code, href=page_url(error_page(code)))
    return join(link, text.removeprefix(code))


def _outage(entry: Entry, now: float) -> Html:
    reason = f": {entry['reason']}" if entry["reason"] else ""
    if entry["ended_at"] is None:
        return _item("bad", "Kafka", "has been away ", moment(entry["began_at"], now), reason)
    length = span(entry["ended_at"] - entry["began_at"])
    return _item(
        "warn", "Kafka", f"was away for {length}, until ", moment(entry["ended_at"], now), reason
    )

"""HTML that is escaped by construction, and the elements that several parts of the page use."""

from datetime import UTC, datetime
from html import escape
from typing import Final

from cdc_sidecar.wording import ago, span

_EMPTY: Final = frozenset({"line", "path", "rect", "circle"})
"""Elements that have no content here."""


class Html(str):
    """Text that is markup already; any other text is escaped where it is used."""

    __slots__ = ()


def element(name: str, *content: str | None, **attributes: str | None) -> Html:
    """Return an element. Attributes end with "_" where Python needs it; None leaves one out."""
    opening = name + "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(*content)}</{name}>")


def join(*content: str | None) -> Html:
    """Return pieces one after the other; None is nothing."""
    return Html("".join(_safe(piece) for piece in content if piece))


def _safe(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)


def moment(then: float | None, now: float, *, otherwise: str = "never") -> Html:
    """Return how long ago a moment was, with its exact time in UTC as a title."""
    return Html(escape(otherwise)) if then is None else _time(then, ago(then, now))


def lasting(since: float, now: float) -> Html:
    """Return for how long something has lasted, with the exact time of its beginning as a title."""
    return _time(since, f"for {span(now - since)}")


def _time(then: float, text: str) -> Html:
    exact = datetime.fromtimestamp(then, UTC)
    return element(
        "time",
        text,
        datetime=exact.isoformat(timespec="milliseconds"),
        title=f"{exact:%Y-%m-%d %H:%M:%S} UTC",
    )


def facts(*pairs: tuple[str, str | None]) -> Html:
    """Return a list of labels and values; a label without a value is left out."""
    shown = (
        element("div", element("dt", label), element("dd", value), class_="fact")
        for label, value in pairs
        if value
    )
    return element("dl", *shown, class_="facts")


def card(name: str, title: str, *content: str | None, note: str | None = None) -> Html:
    """Return a part of the page, which is replaced as a whole while the page is open."""
    beside = element("span", note, class_="note") if note else None
    heading = element("div", element("h2", title), beside, class_="heading")
    return element("section", heading, *content, id=name, class_="card")

"""The page as a whole, and the parts of it that change while it is open.

All facts are in the HTML. The script only replaces parts that have changed; without it the page
reloads itself. Style and script are inline, and the header `Content-Security-Policy` allows these
two by their hashes and nothing else.
"""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from cdc_sidecar.http.documentation import page_url
from cdc_sidecar.http.page.about import about
from cdc_sidecar.http.page.curves import curves
from cdc_sidecar.http.page.markup import Html, element, join, moment
from cdc_sidecar.http.page.past import past
from cdc_sidecar.http.page.path import path
from cdc_sidecar.http.page.slot import slot
from cdc_sidecar.http.page.tables import tables
from cdc_sidecar.wording import first_line

Body = Mapping[str, Any]
RELOAD: Final = 5
"""Seconds between two loads of the page without JavaScript."""
_COLOURS: Final = {"good": "#1a8a55", "quiet": "#5b7083", "warn": "#c77700", "bad": "#d0342c"}
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<circle cx="8" cy="8" r="7" fill="{colour}"/></svg>'
)
_LINKS: Final = (("status as JSON", "/status"), ("metrics", "/metrics"), ("schemas", "/subjects"))


def _asset(name: str) -> Html:
    return Html(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_STYLE: Final = _asset("page.css")
_SCRIPT: Final = _asset("live.js")
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        f"style-src {_hash(_STYLE)}",
        f"script-src {_hash(_SCRIPT)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""The content security policy of the page."""


def parts(body: Body, now: float) -> dict[str, Html]:
    """Return the parts of the page by their ids, in order."""
    return {
        "verdict": _verdict(body, now),
        "path": path(body, now),
        "curves": curves(body),
        "slot": slot(body, now),
        "tables": tables(body, now),
        "past": past(body, now),
        "about": about(body, now),
    }


def document(body: Body, now: float) -> Html:
    """Return the page as HTML."""
    content = parts(body, now)
    reload = element("meta", http_equiv="refresh", content=str(RELOAD))
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("noscript", Html(reload.removesuffix("</meta>"))),
        element("title", _title(body)),
        Html(f'<link rel="icon" id="icon" href="{_icon(body["tone"])}">'),
        element("style", _STYLE),
    )
    main = element("main", *content.values())
    page = element("body", _top(body), main, _footer(body), element("script", _SCRIPT))
    return Html(f"<!doctype html>\n{element('html', head, page, lang='en')}\n")


def _title(body: Body) -> str:
    return f"{body['service']}: {body['phase']}"


def _icon(tone: str) -> str:
    return "data:image/svg+xml," + quote(_ICON.format(colour=_COLOURS[tone]))


def _top(body: Body) -> Html:
    return element(
        "header",
        element("span", "cdc-sidecar", class_="brand"),
        element("h1", body["service"]),
        element("span", "", id="live", role="status"),
    )


def _verdict(body: Body, now: float) -> Html:
    sentence = str(body["verdict"]).removeprefix(f"{body['service']} ")
    runbook = body["runbook"]
    link = element("a", "What to do about it", href=runbook) if runbook else None
    warnings = (element("li", warning) for warning in body["warnings"])
    return element(
        "section",
        element("p", _capital(sentence), class_="sentence"),
        element("p", _whole(body["hint"]), class_="hint") if body["hint"] else None,
        element("ul", *warnings, class_="warnings") if body["warnings"] else None,
        element("p", link, class_="runbook") if link else None,
        _full_error(body),
        _newest(body, now),
        id="verdict",
        class_=f"verdict {body['tone']}",
        data_title=_title(body),
        data_icon=_icon(body["tone"]),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _whole(text: str) -> str:
    """Return a text as a sentence: the hints of errors begin in lower case and have no stop."""
    return _capital(text) + ("" if text.endswith((".", ":", ";")) else ".")


def _full_error(body: Body) -> Html | None:
    """Return the whole text of an error that has more than its first line."""
    error = body["error"] or ""
    if first_line(error) == error:
        return None
    summary = element("summary", "The error in full")
    return element("details", summary, element("pre", error), id="error")


def _newest(body: Body, now: float) -> Html | None:
    committed = body["kafka"]["last_commit_at"]
    if committed is None or body["phase"] != "streaming":
        return None
    return element("p", "Last commit to Kafka ", moment(committed, now), ".", class_="newest")


def _footer(body: Body) -> Html:
    links = [element("a", text, href=address) for text, address in _LINKS]
    links.append(element("a", "documentation", href=page_url("README.md")))
    return element("footer", element("nav", join(*links)), f"cdc-sidecar {body['sidecar']}")

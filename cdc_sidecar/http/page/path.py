"""The path of a change: Postgres, the sidecar, Kafka and the registry, with a light for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdc_sidecar.http.documentation import error_page, page_url
from cdc_sidecar.http.page.markup import Html, element, lasting
from cdc_sidecar.wording import first_line, number

Body = Mapping[str, Any]
_LIGHTS: Final = {"connected": "good", "away": "bad", "unknown": "quiet", "unused": "quiet"}
_WORDS: Final = {
    "connected": "connected",
    "away": "away",
    "unknown": "not asked yet",
    "unused": "not asked",
}
_PHASES: Final = {"streaming": "good", "halted": "bad", "backing off": "warn"}


@dataclass(frozen=True, slots=True)
class _Node:
    title: str
    light: str
    state: str
    since: float | None
    why: str | None
    detail: str | Html


def path(body: Body, now: float) -> Html:
    """Return the four nodes."""
    nodes = (_postgres(body), _sidecar(body), _kafka(body), _registry(body))
    items = (_item(node, now) for node in nodes)
    return element(
        "section",
        element("ol", *items, class_="path"),
        id="path",
        class_="card",
        aria_label="Path of a change",
    )


def _item(node: _Node, now: float) -> Html:
    since = element("span", " ", lasting(node.since, now)) if node.since else None
    return element(
        "li",
        element("h2", element("span", class_=f"light {node.light}"), node.title),
        element("p", element("b", node.state), since, class_="state"),
        element("p", node.why, class_="why") if node.why else None,
        element("p", node.detail, class_="detail"),
        class_=f"node {node.light}",
    )


def _link(body: Body, name: str, title: str, detail: str) -> _Node:
    link = body["links"][name]
    state = link["state"]
    return _Node(title, _LIGHTS[state], _WORDS[state], link["since"], link["reason"], detail)


def _postgres(body: Body) -> _Node:
    server = body["server"]
    database = f"database {server['database']}" if server["database"] else ""
    title = f"Postgres {server['version']}" if server["version"] else "Postgres"
    known = filter(None, (database, _place(server["host"])))
    return _link(body, "postgres", title, " on ".join(known))


def _place(host: str | None) -> str:
    """Return `db:5432` for `host=db port=5432`."""
    words = (word.partition("=")[2] for word in (host or "").split())
    return ":".join(words)


def _sidecar(body: Body) -> _Node:
    phase = body["phase"]
    light = "bad" if body["stalled"] and phase == "streaming" else _PHASES.get(phase, "quiet")
    word = "stalled" if body["stalled"] and phase == "streaming" else phase
    why = _why(body) if body["error"] and light != "good" else None
    detail = f"{'leader' if body['leader'] else _role(phase)}, session {body['session']}"
    return _Node("Sidecar", light, word, body["phase_since"] or None, why, detail)


def _why(body: Body) -> str:
    """Return the code of an error, which the verdict spells out; or what a session waits for."""
    code = body["error_code"]
    if not code:
        return first_line(body["error"])
    return element("a", code, href=page_url(error_page(code)))


def _role(phase: str) -> str:
    return "standby" if phase == "waiting" else "without the lock"


def _kafka(body: Body) -> _Node:
    servers = (body["configuration"].get("kafka") or {}).get("bootstrap_servers", "")
    return _link(body, "kafka", "Kafka", servers)


def _registry(body: Body) -> _Node:
    subjects = body["registry"]["subjects"]
    detail = element("a", number(subjects, "subject"), href="/subjects")
    loaded = body["registry"]["loaded"]
    light, word = ("good", "serves schemas") if loaded else ("quiet", "not loaded yet")
    return _Node("Registry", light, word, None, None, detail)

"""Who answers: the role, the process, its version, and its configuration without secrets."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cdc_sidecar.http.page.markup import Html, card, element, facts, join, moment
from cdc_sidecar.wording import size


def about(body: Mapping[str, Any], now: float) -> Html:
    """Return the card of the process."""
    config = body["config"]
    kafka = body["kafka"]
    last = kafka["last_commit_at"]
    commits = join(f"{kafka['commits']:,}", *([", last ", moment(last, now)] if last else []))
    loaded = join(moment(config["loaded_at"], now), f", {config['fingerprint']}")
    shown = facts(
        ("Role", _role(body)),
        ("Process", join(body["instance"], ", started ", moment(body["started_at"], now))),
        ("Version", f"{body['sidecar']}, {body['transcoder']} transcoder"),
        ("Postgres process", str(body["backend_pid"]) if body["leader"] else None),
        ("Position", body["position"]),
        ("Acknowledged", body["acknowledged"]),
        ("Commits", commits if kafka["commits"] else None),
        ("Queue", size(body["queue_bytes"]) if body["leader"] else None),
        ("Transactional id", body["transactional_id"]),
        ("Configuration loaded", loaded),
    )
    return card("about", "This sidecar", shown, _configuration(body["configuration"]))


def _role(body: Mapping[str, Any]) -> str:
    if body["leader"]:
        return "leader: it holds the lock of the slot"
    if body["phase"] == "waiting":
        return f"standby: process {body['backend_pid'] or '?'} of Postgres reads the slot"
    return "none: it does not hold the lock of the slot"


def _configuration(shown: Mapping[str, Any]) -> Html:
    """Return the effective configuration, folded."""
    summary = element("summary", "Effective configuration, without secrets")
    text = "\n".join(_lines(shown))
    remark = "Durations are in seconds, sizes in bytes."
    content = (element("p", remark, class_="remark"), element("pre", text))
    return element("details", summary, *content, id="configuration")


def _lines(shown: Mapping[str, Any]) -> Iterator[str]:
    for name, section in shown.items():
        if isinstance(section, list):
            for block in section:
                yield f"[[{name}]]"
                yield from _keys(block)
        else:
            yield f"[{name}]"
            yield from _keys(section)


def _keys(section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        if value is not None:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    yield ""

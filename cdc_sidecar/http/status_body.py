"""The body of `/status`: what the board knows, the schemas, and what a person should do."""

import time
from typing import Any, Final

from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.http.documentation import page_url
from cdc_sidecar.http.situation import situation_of
from cdc_sidecar.http.status_text import verdict
from cdc_sidecar.runtime.status_board import StatusBoard

_VALUE: Final = "-value"


def status_body(board: StatusBoard, subjects: Subjects) -> dict[str, Any]:
    """Return `/status`, version 1, as JSON can hold it."""
    body = board.as_json()
    situation = situation_of(body)
    progress = {known.state.name: known.as_json() for known in board.snapshots.tables}
    for origin in body["tables"]["shown"]:
        origin["schema"] = _schema(subjects, origin["topic"])
        origin["snapshot"] = progress.get(origin["name"])
    names = subjects.names()
    return {
        **body,
        "registry": {"kind": "built-in", "subjects": len(names), "loaded": subjects.complete},
        "verdict": verdict(body, time.time()),
        "tone": situation.tone,
        "hint": situation.hint or None,
        "runbook": page_url(situation.page) if situation.page else None,
    }


def _schema(subjects: Subjects, topic: str) -> dict[str, Any] | None:
    """Return the newest version of the schema of a topic's values."""
    versions = subjects.versions(f"{topic}{_VALUE}")
    if not versions:
        return None
    newest = versions[-1]
    return {"subject": newest.subject, "version": newest.version, "id": newest.id}

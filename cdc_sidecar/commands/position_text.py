"""What `position show` says to people, in the words of `status`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from cdc_sidecar.http.status_text import Body, advice, line, rows
from cdc_sidecar.wording import ago, size

_SENTENCES: Final = {
    "continuous": "can continue: the slot and the position fit together.",
    "no position": "has no position: it has not run yet.",
    "slot to be created": "has no position yet: it has recorded that it will create its slot.",
}


def sentence(body: Body) -> str:
    """Return one sentence that says whether the sidecar can continue."""
    meaning, service = body["meaning"], body["service"]
    fits = _SENTENCES.get(meaning["state"])
    if fits:
        return f"{service} {fits}"
    gap = meaning["gap_bytes"]
    width = f" of {size(gap)} of WAL" if gap else ""
    return f"{service} cannot continue as it is: {meaning['state']}{width}."


def lines(body: Body, release: str, lag: int | None, now: float) -> Iterator[str]:
    """Yield the lines below it; `lag` is in bytes of WAL behind the server."""
    meaning = body["meaning"]
    if meaning["code"]:
        yield f"  {meaning['code']}: {meaning['fact']}"
        yield from advice(meaning)
    yield from map(line, rows(_as_status(body, release, lag), now))


def _as_status(body: Body, release: str, lag: int | None) -> dict[str, Any]:
    """Return the parts as the status of a sidecar that is not asked has them."""
    position, server = body["position"] or {}, body["server"]
    written = position.get("written_at")
    return {
        "phase": "down",
        "transactional_id": body["transactional_id"],
        "position": position.get("end"),
        "partial": position.get("partial"),
        "commits": position.get("commits", 0),
        "written_by": position.get("instance"),
        "written_at": written / 1e6 if written else None,
        "server": {"version": release, **server},
        "server_lsn": server["wal_end"],
        "lag_bytes": lag,
        "slot": body["slot"],
    }


def move_lines(moves: list[dict[str, Any]], now: float) -> Iterator[str]:
    """Yield a line for each move of the position by a person."""
    for move in moves:
        said = f": {move['reason']}" if move["reason"] else ""
        when = f"{ago(move['at'] / 1e6, now)} ({moment(move['at'])})"
        what = f"{move['kind']} from {move['from']} to {move['to']} by {move['by']}"
        yield line(("moved", f"{when}, {what}{said}"))


def moment(microseconds: int) -> str:
    """Return a moment in UTC, to the second."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(" ", "seconds")

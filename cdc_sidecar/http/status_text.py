"""The status for people: one sentence that says how the sidecar is, then a few lines.

The status page and the commands `status` and `position show` speak in the same words.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cdc_sidecar.wording import ago, first_line, number, rate, size, span

Body = Mapping[str, Any]
"""The JSON of a status; a field of another version may be missing."""

_WIDTH: Final = 10
"""The columns of a label."""


def verdict(body: Body, now: float) -> str:
    """Return one sentence."""
    name = body["service"]
    if body["phase"] == "down":
        return f"{name} is down: {_why_down(body, now)}"
    say = _VERDICTS.get(body["phase"], _other)
    return f"{name} {say(body, now)}"


def _streaming(body: Body, now: float) -> str:
    kafka = body.get("kafka") or {}
    if not kafka.get("reachable"):
        since = kafka.get("since")
        away = f" for {span(now - since)}" if since else ""
        return f"cannot publish: Kafka has been away{away}; changes wait in Postgres."
    if body.get("stalled"):
        return "is stalled: WAL grows, but nothing is published."
    if not body["ready"]:
        return "streams, but its slot is lost."
    if (body.get("slot") or {}).get("wal_status") == "unreserved":
        return "streams, but its slot is about to be lost."
    behind = float(body.get("lag_seconds") or 0.0)
    if behind < 1:
        return f"streams and is up to date{_lacking(body)}."
    return f"streams, {span(behind)} behind{_lacking(body)}."


def _lacking(body: Body) -> str:
    parked = ((body.get("tables") or {}).get("parked") or {}).get("lately")
    return ", but has parked events that it cannot publish" if parked else ""


def _waiting(_body: Body, _now: float) -> str:
    return "stands by: another sidecar streams, and this one takes over when that one stops."


def _halted(body: Body, now: float) -> str:
    return f"halted {ago(body['phase_since'], now)}: {first_line(body.get('error') or '')}"


def _backing_off(body: Body, _now: float) -> str:
    return f"does not stream, and tries again soon: {first_line(body.get('error') or '')}"


def _other(body: Body, now: float) -> str:
    since = f" for {span(now - body['phase_since'])}" if body.get("phase_since") else ""
    error = first_line(body.get("error") or "")
    return f"does not stream yet: {body['phase']}{since}" + (f", {error}" if error else "") + "."


_VERDICTS: Final[Mapping[str, Callable[[Body, float], str]]] = {
    "streaming": _streaming,
    "waiting": _waiting,
    "halted": _halted,
    "backing off": _backing_off,
}


def _why_down(body: Body, now: float) -> str:
    """Return the most telling reason that is known."""
    slot, run = body["slot"], body.get("last_run")
    if slot["active_pid"]:
        return (
            f"nothing answers at {body['url']}, but process {slot['active_pid']} of Postgres reads"
            f" its slot. If it runs on another host or port, give --url."
        )
    if run:
        return _end_of(run, body, now)
    errors = body["errors"]
    if errors["kafka"]:
        return f"nothing answers at {body['url']}, and Kafka, which knows more, cannot be read."
    if body["written_at"] is None:
        return "it has not run yet. `cdc-sidecar check` says whether it would."
    return f"it ended without a last word. Its last commit was {ago(body['written_at'], now)}."


def _end_of(run: Body, body: Body, now: float) -> str:
    when, reason = ago(run["at"] / 1e6, now), run.get("reason")
    match run["state"]:
        case "stopped":
            return f"it was stopped {when}."
        case "halted" | "gave up" if reason:
            return f"it {run['state']} {when} with {_spell(reason)}."
    last = body["written_at"] or run["at"] / 1e6
    return f"it ended without a last word, some time after its last commit {ago(last, now)}."


def _spell(error: Body) -> str:
    return f"{error['code']} {error['title']}: {error['fact']}"


def details(body: Body, now: float) -> Iterator[str]:
    """Yield lines below the sentence; a line about which nothing is known is left out."""
    yield from reason(body)
    yield from map(line, rows(body, now))
    for server, error in (body.get("errors") or {}).items():
        if error:
            yield line((server, _spell(error)))
            yield from advice(error)


def rows(body: Body, now: float) -> Iterator[tuple[str, str]]:
    """Yield what is known: a label and a text for each subject, and then the warnings."""
    for label, parts in _LINES.items():
        text = ", ".join(part for part in parts(body, now) if part)
        if text:
            yield label, text
    for warning in body.get("warnings") or ():
        yield "warning", warning


def line(row: tuple[str, str]) -> str:
    """Return a label and its text as one line."""
    return f"{row[0]:<{_WIDTH}}{row[1]}"


def reason(body: Body) -> Iterator[str]:
    """Yield cause and hint of what keeps the sidecar from streaming."""
    yield from (body.get("error") or "").splitlines()[1:]
    ended = (body.get("last_run") or {}).get("reason")
    if ended and not body["slot"]["active_pid"]:
        yield from advice(ended)
    fault = body.get("fault")
    if fault and fault["code"] != (ended or {}).get("code"):
        yield f"It cannot continue as it is: {_spell(fault)}"
        yield from advice(fault)


def advice(error: Body) -> Iterator[str]:
    """Yield where an error occurred, its cause and its hint, as far as they are known."""
    for label in ("where", "cause", "hint"):
        if error.get(label):
            yield f"  {label + ':':<7}{error[label]}"


def _server(body: Body, _now: float) -> Iterator[str]:
    server = body.get("server") or {}
    if server.get("version"):
        yield f"Postgres {server['version']}"
        yield f"database {server['database']}"
        yield f"timeline {server['timeline']}" if "timeline" in server else ""
    yield f"WAL ends at {body['server_lsn']}" if body.get("server_lsn") else ""


def _slot(body: Body, now: float) -> Iterator[str]:
    slot = body["slot"]
    if slot.get("exists") is False:
        known = not (body.get("errors") or {}).get("postgres")
        yield f"{slot['name']} does not exist" if known else ""
        return
    yield f"{slot['name']} is {slot['wal_status'] or 'not looked at yet'}"
    if slot.get("confirmed_flush_lsn"):
        yield f"confirmed up to {slot['confirmed_flush_lsn']}"
        yield f"read by process {slot['active_pid']}" if slot["active_pid"] else "not in use"
    if slot["retained_bytes"] is not None:
        yield f"Postgres keeps {size(slot['retained_bytes'])} of WAL for it"
    if slot["safe_wal_size"] is not None:
        yield f"{size(max(0, slot['safe_wal_size']))} more may be written before it is lost"
    if slot.get("seconds_left") is not None:
        yield f"at this rate in {span(slot['seconds_left'])}"
    if slot.get("seen_at"):
        yield f"seen {ago(slot['seen_at'], now)}"


def _decoding(body: Body, _now: float) -> Iterator[str]:
    decoded = body["slot"].get("decoded")
    if decoded:
        yield number(decoded["transactions"], "transaction")
        yield size(decoded["bytes"])
        spilled = number(decoded["spilled_transactions"], "transaction")
        yield f"{size(decoded['spilled_bytes'])} of {spilled} written to disk"


def _walsender(body: Body, _now: float) -> Iterator[str]:
    walsender = body.get("walsender")
    if walsender:
        yield f"process {walsender['pid']}"
        yield walsender["state"] or ""
        yield f"has sent up to {walsender['sent']}" if walsender["sent"] else ""
        yield f"{walsender['flushed']} is confirmed" if walsender["flushed"] else ""
        yield f"waits for {walsender['wait_event']}" if walsender["wait_event"] else ""


def _position(body: Body, now: float) -> Iterator[str]:
    if body.get("position") is None:
        return
    kafka: Body = body.get("kafka") or {}
    written = kafka.get("last_commit_at") or body.get("written_at")
    yield f"{body['position']}"
    yield f"committed {ago(written, now)}" if written else ""
    yield number(kafka.get("commits", body.get("commits", 0)), "commit")
    yield f"by {body['written_by']}" if body.get("written_by") else ""
    yield "inside a split transaction" if body.get("partial") is True else ""
    if isinstance(body.get("partial"), Mapping):
        part = body["partial"]
        yield f"after part {part['part']} of transaction {part['xid']} at {part['final_lsn']}"


def _lag(body: Body, _now: float) -> Iterator[str]:
    if body.get("lag_seconds") is not None:
        yield span(body["lag_seconds"])
    behind = body.get("lag_bytes")
    confirmed = body["slot"].get("confirmed_lag_bytes") if behind is None else behind
    if confirmed is not None:
        yield f"{size(max(0, confirmed))} of WAL"


def _rates(body: Body, _now: float) -> Iterator[str]:
    rates = body.get("rates")
    if rates and body["phase"] == "streaming":
        yield rate(rates["events_per_second"], "events")
        yield rate(rates["transactions_per_second"], "transactions")
        yield f"{size(rates['bytes_per_second'])}/s in the last minute"


def _parked(body: Body, now: float) -> Iterator[str]:
    tables = body.get("tables") or {}
    total = (tables.get("parked") or {}).get("total")
    if not total:
        return
    yield f"{number(total, 'event')} since the process started"
    for origin in tables["shown"]:
        if origin.get("parked"):
            last = ago(origin["last_parked_at"], now)
            yield f"{origin['name']} {origin['parked']:,} (last {last})"
    yield "`cdc-sidecar parked` shows them"


def _snapshot(body: Body, _now: float) -> Iterator[str]:
    snapshot = body.get("snapshot")
    if not snapshot:
        return
    phases = snapshot["phases"]
    yield f"{phases.get('done', 0):,} of {number(sum(phases.values()), 'table')} complete"
    for table in snapshot["tables"]:
        if table["phase"] in ("reading", "read"):
            rows = f"{table['rows']:,} of about {table['estimated_rows']:,} rows"
            yield f"{table['table']} {table['ratio']:.0%} ({rows})"
        elif table["phase"] in ("failed", "incomplete"):
            yield f"{table['table']} {table['phase']} ({table['error']})"
    if snapshot["running"]:
        yield rate(snapshot["rows_per_second"], "rows")
        eta = snapshot["eta_seconds"]
        yield "" if eta is None else f"{span(eta)} left"
    waits = snapshot["waits"]
    if waits:
        whom = " and ".join(waits["whom"])
        yield f"waits: {waits['for']}" + (f" of {whom}" if whom else "")


def _kafka(body: Body, now: float) -> Iterator[str]:
    kafka = body.get("kafka")
    if kafka and kafka["since"]:
        word = "reachable" if kafka["reachable"] else "away"
        yield f"{word} for {span(now - kafka['since'])}"


def _process(body: Body, now: float) -> Iterator[str]:
    if "sidecar" in body:
        yield f"version {body['sidecar']}"
        yield f"up for {span(now - body['started_at'])}"
        yield f"session {body['session']}"
    yield f"transactional id {body['transactional_id']}"
    if body.get("answered_by"):
        yield f"{body['url']} is the sidecar of {body['answered_by']}"


_LINES: Final[Mapping[str, Callable[[Body, float], Iterator[str]]]] = {
    "source": _server,
    "slot": _slot,
    "position": _position,
    "lag": _lag,
    "rate": _rates,
    "snapshot": _snapshot,
    "parked": _parked,
    "walsender": _walsender,
    "decoded": _decoding,
    "kafka": _kafka,
    "sidecar": _process,
}

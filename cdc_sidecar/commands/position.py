"""`cdc-sidecar position`: shows the position and its source, or moves it for an operator.

Without `--yes` a move is a dry run. `cdc_sidecar.operations.moves` plans and makes the moves.
"""

import json
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import typer

from cdc_sidecar.checks.continuity import Continuity
from cdc_sidecar.commands import position_text
from cdc_sidecar.commands.lines import slot_as_json
from cdc_sidecar.commands.position_text import moment
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    ConfigChangedInside,
    PositionElsewhere,
    SidecarError,
    SlotAhead,
    SlotLost,
    SlotMissing,
    SlotUnfit,
    SourceChanged,
    WalWentBack,
)
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.position import Partial
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.kafka.position import PositionRecord, spell_partial
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations import slot_move
from cdc_sidecar.operations.moves import (
    NothingToMove,
    PlannedMove,
    Planner,
    make_move,
    plan_acceptance,
    plan_move,
    plan_reset,
)
from cdc_sidecar.operations.observation import observe
from cdc_sidecar.operations.slot_move import SlotMove, plan_slot_move
from cdc_sidecar.operations.table_gaps import accept_table_gaps, read_table_gaps
from cdc_sidecar.postgres.lsn import Lsn, format_lsn, parse_lsn

_STATES: Final[dict[type[SidecarError], str]] = {
    SlotAhead: "gap",
    SlotMissing: "slot missing",
    SlotLost: "slot lost",
    SlotUnfit: "slot not suitable",
    SourceChanged: "another source",
    PositionElsewhere: "another slot",
    WalWentBack: "WAL ends before the position",
    ConfigChangedInside: "configuration changed inside a split transaction",
}


def show(path: Path, *, as_json: bool) -> int:
    """Print the position record, the slot, and whether they fit together.

    Raises:
        SidecarError: Postgres or Kafka is not available.

    """
    config = _load(path)
    fingerprint = Capture.of(config).fingerprint
    seen = observe(config, fingerprint)
    moves = [move.as_json() for move in seen.record.resets] if seen.record else []
    body = _as_json(config, seen, fingerprint)
    if as_json:
        typer.echo(json.dumps({**body, "moves": moves}, indent=2))
    else:
        _print(seen, body, moves)
    return 0


def _as_json(config: Config, seen: Continuity, fingerprint: str) -> dict[str, Any]:
    identity = seen.source.identity
    return {
        "version": 1,
        "service": config.service.name,
        "transactional_id": config.transactional_id,
        "meaning": _meaning(seen, fingerprint),
        "position": _position(seen.record) if seen.record else None,
        "slot": slot_as_json(config.postgres.slot, seen.source.slot),
        "server": {
            "system_identifier": identity.system_identifier,
            "timeline": identity.timeline,
            "database": identity.database,
            "wal_end": format_lsn(seen.source.wal_end),
        },
    }


def _load(path: Path) -> Config:
    config = load_config(path)
    configure_quietly()
    return config


def _meaning(seen: Continuity, fingerprint: str) -> dict[str, Any]:
    """Return whether position and slot fit together; every value but the state may be null."""
    record, slot = seen.record, seen.source.slot
    meaning = {"state": "", "gap_bytes": None, "code": None, "fact": None, "hint": None}
    if record is None or record.position is None:
        state = "no position" if record is None else "slot to be created"
        return {**meaning, "state": state}
    fault = seen.fault(fingerprint)
    if fault is None:
        return {**meaning, "state": "continuous", "gap_bytes": 0}
    gap = slot.confirmed_flush_lsn - record.position.end_lsn if slot else None
    described = {"code": fault.code, "fact": fault.fact, "hint": fault.hint}
    gap_bytes = gap if isinstance(fault, SlotAhead) else None
    return {**meaning, "state": _STATES[type(fault)], "gap_bytes": gap_bytes, **described}


def _position(record: PositionRecord) -> dict[str, Any]:
    position = record.position
    return {
        "end": format_lsn(position.end_lsn) if position else None,
        "partial": spell_partial(position.partial) if position else None,
        "commits": record.commits,
        "fingerprint": record.fingerprint,
        "instance": record.instance,
        "written_at": record.written_at,
        **asdict(record.identity),
    }


def _print(seen: Continuity, body: dict[str, Any], moves: list[dict[str, Any]]) -> None:
    """Print the same in words."""
    now, release = time.time(), seen.source.release
    position = seen.record.position if seen.record else None
    lag = max(0, seen.source.wal_end - position.end_lsn) if position else None
    fits = body["meaning"]["code"] is None
    typer.secho(position_text.sentence(body), bold=True, fg="green" if fits else "red")
    for line in position_text.lines(body, release, lag, now):
        typer.echo(line)
    for line in position_text.move_lines(moves, now):
        typer.echo(line)


def accept_gap(path: Path, *, yes: bool, reason: str | None, new_source: bool) -> int:
    """Show the gaps; with `yes`, continue after them. Return 1 if there is no gap.

    Raises:
        SidecarError: a sidecar is running, or the move is refused.

    """
    config = _load(path)
    status = _move(config, partial(plan_acceptance, new_source=new_source), reason, yes=yes)
    gaps = accept_table_gaps(config) if yes else read_table_gaps(config)
    for name, gap in sorted(gaps.items()):
        typer.echo(f"gap     {name}: {gap}")
    if gaps:
        typer.echo("lost    every change of these tables that was committed in between")
        if yes:
            typer.secho("accepted: the tables continue as they are now", fg="green")
        else:
            typer.secho("this was a dry run: add --yes to accept the gaps", bold=True)
    return 0 if gaps else status


def reset(path: Path, to: str, *, yes: bool, reason: str | None) -> int:
    """Show the effect of a move to an LSN; with `yes`, make it. Return 1 if nothing is to be moved.

    Raises:
        SidecarError: a sidecar is running, or the move is refused.

    """
    try:
        goal = parse_lsn(to)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--to") from error
    return _move(_load(path), partial(plan_reset, goal=goal), reason, yes=yes)


def _move(config: Config, planner: Planner, reason: str | None, *, yes: bool) -> int:
    outcome = make_move(config, planner, reason) if yes else plan_move(config, planner)
    if isinstance(outcome, NothingToMove):
        return _report_nothing(outcome)
    return _report(_describe(outcome), f"the position is {format_lsn(outcome.goal)}", yes=yes)


def _report_nothing(outcome: NothingToMove) -> int:
    """Print why there is nothing to move; return the exit status."""
    typer.echo(f"nothing to move: {outcome.reason}")
    return 1


def _report(effect: list[str], moved: str, *, yes: bool) -> int:
    """Print the effect of a move, and whether it was made; return the exit status."""
    typer.echo("\n".join(effect))
    if yes:
        typer.secho(f"moved: {moved}", fg="green")
    else:
        typer.secho("this was a dry run: add --yes to move the position", bold=True)
    return 0


def _describe(move: PlannedMove) -> list[str]:
    """Return lines that describe the effect of a move to the operator."""
    written = f"written {moment(move.record.written_at)} by {move.record.instance}"
    return [
        f"from    {format_lsn(move.position.end_lsn)}  ({written})",
        f"to      {format_lsn(move.goal)}",
        *_consequence(move),
        *(_discarded(move.partial, move.goal) if move.partial else []),
        *map(_describe_snapshot, move.snapshots),
    ]


def _describe_snapshot(after: TableSnapshot) -> str:
    if after.phase.is_open:
        return f"again   the snapshot of {after.name} begins again"
    return f"partly  the snapshot of {after.name} is incomplete: {after.error}"


def move_slot(path: Path, *, yes: bool, reason: str | None, chosen: str | None) -> int:
    """Show the move to the configured slot; with `yes`, make it. Return 1 if there is none.

    Raises:
        SidecarError: a sidecar is running, or the move is refused.

    """
    config = _load(path)
    move = slot_move.move_slot(config, chosen, reason) if yes else plan_slot_move(config, chosen)
    if isinstance(move, NothingToMove):
        return _report_nothing(move)
    moved = f"the position belongs to slot {config.postgres.slot}"
    return _report(_describe_slot_move(move), moved, yes=yes)


def _describe_slot_move(move: SlotMove) -> list[str]:
    slot, then = move.identity.slot, move.record.identity.slot
    nothing = ["        No change is lost, and none is published twice."]
    lines = [
        f"from    slot {then}, {format_lsn(move.position.end_lsn)}  ({move.transactional_id})",
        f"to      slot {slot}, {format_lsn(move.goal)}",
        *([f"create  slot {slot} as a copy of slot {then}"] if move.copied else []),
        *(_lost(move.bytes) if move.bytes else nothing),
    ]
    if move.earlier and then != slot:
        lines += [
            f"keep    slot {then} still exists and retains WAL; once the sidecar streams from",
            f"        {slot}, drop it: SELECT pg_drop_replication_slot('{then}')",
        ]
    return lines


def _discarded(partial: Partial, goal: Lsn) -> list[str]:
    transaction = f"{partial.xid} at {format_lsn(partial.final_lsn)}"
    whole = goal <= partial.final_lsn
    effect = "all parts are published again" if whole else "the rest of it is lost"
    return [
        f"partial {partial.part} part(s) of the split transaction {transaction} are",
        f"        published; the partial position is discarded: {effect}",
    ]


def _consequence(move: PlannedMove) -> list[str]:
    size = move.bytes
    if size is None:
        assert move.mismatch is not None  # noqa: S101 - only a mismatch leaves the size unknown
        return [
            f"source  {move.mismatch.fact}",
            "        The present source becomes the source of this service. LSNs of two sources",
            "        cannot be compared, so it is not known what is lost or published twice.",
            "        A sidecar of the earlier source that is still running is fenced.",
        ]
    if size > 0:
        return _lost(size)
    return [
        f"repeat  {-size:,} bytes of WAL",
        "twice   every change that was committed in between is published again, with the same",
        "        commit_lsn and total_order: consumers see it twice",
    ]


def _lost(size: int) -> list[str]:
    return [
        f"gap     {size:,} bytes of WAL",
        "lost    every change that was committed in between: inserts, updates, deletes,",
        "        truncates, outbox events and logical messages never reach Kafka",
    ]

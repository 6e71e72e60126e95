"""The comparison of the source with what was published before: position, layouts and keys."""

from functools import cache

from cdc_sidecar.checks.continuity import Continuity, SourceState
from cdc_sidecar.checks.history import check_history
from cdc_sidecar.checks.snapshot_jobs import plan_snapshots
from cdc_sidecar.checks.source import identity_of
from cdc_sidecar.checks.source_view import SourceView
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import PositionMissing, SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.outbox.event_types import check_compatible, event_schemas
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.kafka.position import PositionRecord
from cdc_sidecar.kafka.schemas import read_log
from cdc_sidecar.operations.inspection.brokers import SeenPosition
from cdc_sidecar.operations.inspection.report import Group, Report
from cdc_sidecar.operations.inspection.source import SeenSource
from cdc_sidecar.operations.snapshot_plan import plan_tables
from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.walsender import SystemIdentity, WalsenderConnection
from cdc_sidecar.wording import number, size, span


def inspect_history(
    config: Config, capture: Capture, report: Report, source: SeenSource, position: SeenPosition
) -> None:
    """Make every check that needs both sides; each one only if both answered."""
    if not position.is_known:
        return
    report.begin(Group.PUBLISHED)
    view, read = source.view, cache(lambda: read_log(config))
    if view:
        report.attempt(
            "earlier events",
            lambda: check_history(view.captured, capture, read()),
            lambda _: "the tables continue them",
        )
        report.attempt(
            "snapshots", lambda: _plan_snapshots(config, capture, view, read()), lambda said: said
        )
    if any(outbox.events for outbox in config.outboxes):
        report.attempt(
            "event schemas",
            lambda: _check_events(config, read()),
            lambda count: f"{count} of them can follow what is registered",
        )
    if source.server and source.system:
        _compare_positions(config, capture, report, source, position.record)


def _check_events(config: Config, log: SchemaLog) -> int:
    """Check the schemas of events against the registered ones; return their number."""
    schemas = [schema for outbox in config.outboxes for schema in event_schemas(outbox)]
    for schema in schemas:
        check_compatible(schema, log.subjects)
    return len(schemas)


def _plan_snapshots(config: Config, capture: Capture, view: SourceView, log: SchemaLog) -> str:
    """Say which rows the next start would send, and how long that takes, about."""
    jobs = plan_snapshots(view.captured, capture, config.snapshot, log.snapshots)
    due = {state.oid for state in jobs.states}
    plans = plan_tables(config, [table for table in view.captured if table.relation.oid in due])
    if not plans:
        return "none is due"
    rows, total = sum(plan.rows or 0 for plan in plans), sum(plan.bytes for plan in plans)
    unknown = any(plan.seconds is None for plan in plans)
    time = span(sum(plan.seconds or 0 for plan in plans))
    least = "at least " if unknown else "about "
    more = "; run ANALYZE for a better estimate" if unknown else ""
    tables = number(len(plans), "table")
    return f"{tables} with {least}{rows:,} rows ({size(total)}) will be sent: {least}{time}{more}"


def _compare_positions(
    config: Config,
    capture: Capture,
    report: Report,
    source: SeenSource,
    record: PositionRecord | None,
) -> None:
    if record is None or record.position is None:
        if source.slot and record is None:
            report.attempt("first start", lambda: _refuse_first_start(config), lambda _: "")
        return
    # read again: a running sidecar may have published beyond the end that was read first
    system = report.attempt(
        "WAL", lambda: _identify(config), lambda seen: format_lsn(seen.flushed_lsn)
    )
    if system and source.server:
        identity = identity_of(system, source.server, config)
        state = SourceState(identity, source.slot, system.flushed_lsn, source.history)
        _judge(report, Continuity(record, state), capture, slot_is_known=source.slot_is_known)


def _identify(config: Config) -> SystemIdentity:
    connection = WalsenderConnection(config.postgres)
    try:
        return connection.identify_system()
    finally:
        connection.close()


def _judge(report: Report, seen: Continuity, capture: Capture, *, slot_is_known: bool) -> None:
    identity = seen.source.identity
    report.attempt(
        "identity",
        lambda: _refuse(seen.mismatch),
        lambda _: f"system {identity.system_identifier}, timeline {identity.timeline}",
    )
    if seen.mismatch is None and slot_is_known:
        report.attempt(
            "continuity",
            lambda: _refuse(seen.fault(capture.fingerprint)),
            lambda _: "the slot and the position fit together",
        )


def _refuse(fault: SidecarError | None) -> None:
    if fault:
        raise fault


def _refuse_first_start(config: Config) -> None:
    raise PositionMissing(
        f"slot {config.postgres.slot} exists, but there is no position",
        cause="a first start on a slot created by hand, or the position topic was lost",
        hint="for a first start, run `cdc-sidecar run --bootstrap` once; otherwise restore the"
        " topic",
    )

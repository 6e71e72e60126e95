"""What a scrape shows of the daemon: gauges that read the status board, and series that start at 0.

Series that are known are shown before their first event, because Prometheus does not see the
increase of a counter that is born with a value.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from cdc_sidecar.checks.source_view import SourceView
from cdc_sidecar.config.model import Config, Table
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import Disposition, SidecarError
from cdc_sidecar.events import twin
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.parking.lot import CODES_OF_OUTBOXES, CODES_OF_TABLES
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.logs import lines_by_level, lines_dropped
from cdc_sidecar.metrics import Metrics, SidecarState
from cdc_sidecar.runtime.status import Phase
from cdc_sidecar.runtime.status_board import StatusBoard

_PHASES: Final = tuple(phase.value for phase in Phase)
_VERSION: Final = re.compile(r"\.v[^.]*$")
"""The end of a key in `[outboxes.events]` where a column says which version a payload has."""


def metrics_of(config: Config, board: StatusBoard, served: Subjects) -> Metrics:
    """Return the metrics of a daemon; a scrape reads its board and its schemas."""
    metrics = Metrics({"service": config.service.name, "slot": config.postgres.slot})
    metrics.info.info({"version": board.now.version, "transcoder": twin.NAME})
    metrics.queue_bytes.set_function(board.queue_bytes)
    metrics.lag_seconds.set_function(board.lag)
    metrics.log_lines.read = lines_by_level
    metrics.log_lines_dropped.read = lambda: {"": lines_dropped()}
    metrics.state.read = lambda: _state(board, served)
    metrics.expect_sessions(sorted(_session_codes(SidecarError)))
    expect_configured(metrics, config)
    return metrics


def _state(board: StatusBoard, served: Subjects) -> SidecarState:
    now = board.now
    return SidecarState(
        phases=_PHASES,
        phase=now.phase.value,
        ready=now.ready,
        kafka_reachable=now.kafka_answers,
        leader=now.leader,
        halted=now.error_code if now.phase is Phase.HALTED else "",
        last_commit=now.last_commit_at,
        config_fingerprint=now.config_fingerprint,
        config_loaded=now.config_loaded_at,
        schema_versions={name: served.versions(name)[-1].version for name in served.names()},
    )


def _session_codes(root: type[SidecarError]) -> Iterator[str]:
    """Yield the codes of the errors that can end a session."""
    for kind in root.__subclasses__():
        if kind.code != root.code and kind.disposition is not Disposition.USAGE:
            yield kind.code
        yield from _session_codes(kind)


def expect_configured(metrics: Metrics, config: Config) -> None:
    """Show the tables and outboxes that the configuration names."""
    for table in config.tables:
        if not table.is_glob:
            metrics.events.expect_table(table.name)
            _expect_parked(metrics, table.name, table)
    for outbox in config.outboxes:
        metrics.events.expect_outbox(outbox.name, _event_types(outbox))
        _expect_parked(metrics, outbox.name, outbox)


def _expect_parked(metrics: Metrics, name: str, config: Table | Outbox) -> None:
    if config.on_error == "park":
        codes = CODES_OF_TABLES if isinstance(config, Table) else CODES_OF_OUTBOXES
        metrics.events.expect_parked(name, codes)


def _event_types(outbox: Outbox) -> set[str]:
    """Return the types of the events that have schemas, as they are counted."""
    if outbox.columns.version is None:
        return set(outbox.events)
    return {_VERSION.sub("", name) for name in outbox.events}


def expect_published(metrics: Metrics, view: SourceView, capture: Capture) -> None:
    """Show the tables that a session has found in the publication."""
    for name in _names(view):
        table = capture.table(name)
        if table:
            metrics.events.expect_table(name)
            _expect_parked(metrics, name, table)
            metrics.snapshot.expect(name)
        elif not capture.outbox(name):
            metrics.events.expect_ignored(name)


def _names(view: SourceView) -> Iterable[str]:
    return (table.relation.qualified_name for table in view.tables)

"""The rows and panels of the dashboard: what is asked, and in which unit it is shown.

Every replica reports the one slot, so the values of the slot are aggregated over them. A table or a
service without a value has no line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_RATE: Final = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over time: each expression by its legend."""

    title: str
    unit: str
    lines: dict[str, str]
    description: str = ""
    least: float | None = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure with limits between good, doubtful and bad.

    With two limits all three are used, and with one only good and bad. `falling` values are bad
    below their limits.
    """

    title: str
    unit: str
    expression: str
    limits: Sequence[float]
    description: str = ""
    falling: bool = False
    legend: str = field(default="__auto")

    def colours(self, scale: Sequence[str]) -> list[str]:
        """Return the colour of each range, from the lowest values on."""
        good, doubtful, bad = scale
        used = [good, doubtful, bad] if len(self.limits) > 1 else [good, bad]
        return used[::-1] if self.falling else used


def _of(metric: str, more: str = "") -> str:
    labels = ",".join(filter(None, ('service="$service"', more)))
    return f"cdc_sidecar_{metric}{{{labels}}}"


def _max(metric: str, more: str = "") -> str:
    return f"max by (slot) ({_of(metric, more)})"


def _min(metric: str) -> str:
    return f"min by (slot) ({_of(metric)})"


def _rate(metric: str, by: str = "slot", more: str = "") -> str:
    return f"sum by ({by}) (rate({_of(metric, more)}[{_RATE}]))"


def _quantile(share: float, metric: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', 'le')})"


def _standbys() -> str:
    waiting = _of("phase", 'state="waiting"')
    return f"sum by (slot) ({waiting})"


_OVERVIEW: Final = (
    Verdict(
        "Streams",
        "short",
        f"sum by (slot) ({_of('streaming')})",
        (1,),
        "Instances that read the stream: one of them should",
        falling=True,
    ),
    Verdict(
        "Kafka answers",
        "bool_yes_no",
        _max("kafka_reachable"),
        (1,),
        "NaN while nobody asks: on standbys, and after a halt",
        falling=True,
    ),
    Verdict("Halted", "bool_yes_no", _max("halted"), (1,), "A person must decide"),
    Verdict("Stalled", "bool_yes_no", _max("stream_stalled"), (1,)),
    Verdict(
        "Lag",
        "s",
        _min("lag_seconds"),
        (10, 60),
        "Age of the oldest change that may not be published yet",
    ),
    Verdict(
        "Slot: time left",
        "s",
        _min("slot_time_left_seconds"),
        (3600, 14400),
        "Until the server removes WAL that is needed, at the present rate",
        falling=True,
    ),
    Verdict(
        "Standbys",
        "short",
        _standbys(),
        (1,),
        "Instances that wait for their turn",
        falling=True,
    ),
    Verdict(
        "Configurations",
        "short",
        f"count by (slot) (group by (slot, fingerprint) ({_of('config_info')}))",
        (2,),
        "Replicas should have one",
    ),
)

_STREAM: Final = (
    Chart("Lag", "s", {"{{slot}}": _min("lag_seconds")}),
    Chart("Events", "eps", {"{{op}}": _rate("events_total", "op")}, "Published, by operation"),
    Chart("Bytes", "Bps", {"published": _rate("published_bytes_total")}, "Before compression"),
    Chart(
        "End-to-end latency",
        "s",
        {f"p{round(100 * share)}": _quantile(share, "end_to_end_seconds") for share in (0.5, 0.99)},
        "From the commit in Postgres to the commit in Kafka, by source transaction",
    ),
    Chart("Transactions", "ops", {"source": _rate("source_transactions_total")}),
    Chart("Queue", "bytes", {"{{instance}}": _of("queue_bytes")}, "Read, and not yet published"),
)

_SLOT: Final = (
    Chart(
        "WAL",
        "bytes",
        {
            "retained": _max("slot_retained_bytes"),
            "not acknowledged": _max("slot_confirmed_lag_bytes"),
            "safe": _min("slot_safe_bytes"),
        },
        "Safe: what may still be written before the slot is in danger. Infinite without a limit",
    ),
    Chart(
        "Time left",
        "s",
        {"{{slot}}": _min("slot_time_left_seconds")},
        "Infinite while it does not grow",
    ),
    Chart("wal_status", "bool", {"{{state}}": f"max by (state) ({_of('slot_wal_status')})"}),
    Chart(
        "Decoded and spilled",
        "Bps",
        {
            "decoded": f"max by (slot) (rate({_of('slot_decoded_bytes_total')}[{_RATE}]))",
            "spilled to disk": f"max by (slot) (rate({_of('slot_spilled_bytes_total')}[{_RATE}]))",
        },
    ),
    Chart("Clock of Postgres", "s", {"ahead": _max("postgres_clock_offset_seconds")}, least=None),
)

_KAFKA: Final = (
    Chart(
        "Kafka transactions",
        "ops",
        {"{{state}}": _rate("kafka_transactions_total", "state")},
    ),
    Chart(
        "Commit",
        "s",
        {f"p{round(100 * share)}": _quantile(share, "commit_seconds") for share in (0.5, 0.99)},
        "Flush and commit of a Kafka transaction",
    ),
    Chart(
        "Records in a transaction",
        "short",
        {
            f"p{round(100 * share)}": _quantile(share, "kafka_transaction_records")
            for share in (0.5, 0.99)
        },
    ),
    Chart(
        "Fences and replaced producers",
        "short",
        {
            "fenced": f"sum by (slot) (increase({_of('producer_fences_total')}[{_RATE}]))",
            "replaced": f"sum by (slot) (increase({_of('producer_recycles_total')}[{_RATE}]))",
            "split": f"sum by (slot) (increase({_of('transaction_splits_total')}[{_RATE}]))",
        },
    ),
)

_DATA: Final = (
    Chart("Events by table", "eps", {"{{table}}": _rate("events_total", "table")}),
    Chart(
        "Outbox events by type",
        "eps",
        {"{{event_type}}": _rate("outbox_events_total", "event_type")},
    ),
    Chart(
        "Outbox lag",
        "s",
        {"{{event_type}}": f"max by (event_type) ({_of('outbox_lag_seconds')})"},
        "Of the newest event of each type",
    ),
    Chart(
        "Dropped changes",
        "eps",
        {"{{table}}": _rate("ignored_changes_total", "table")},
        "Published by Postgres, and not configured",
    ),
    Chart(
        "Parked events",
        "short",
        {"{{table}}": f"sum by (table) (increase({_of('parked_events_total')}[{_RATE}]))"},
        "They could not be published, and wait for a person",
    ),
    Chart("Pruned outbox rows", "ops", {"{{table}}": _rate("outbox_pruned_rows_total", "table")}),
    Chart(
        "Schema versions", "short", {"{{subject}}": f"max by (subject) ({_of('schema_version')})"}
    ),
)

_SNAPSHOT: Final = (
    Chart("Tables", "short", {"{{state}}": f"max by (state) ({_of('snapshot_tables')})"}),
    Chart(
        "Progress",
        "percentunit",
        {"{{table}}": f"max by (table) ({_of('snapshot_progress_ratio')})"},
    ),
    Chart("Rows", "rowsps", {"{{table}}": _rate("events_total", "table", 'op="r"')}),
    Chart("Chunks", "ops", {"{{state}}": _rate("snapshot_chunks_total", "state")}),
    Chart("Waits", "bool", {"{{reason}}": f"max by (reason) ({_of('snapshot_waiting')})"}),
    Chart("Remaining time", "s", {"{{slot}}": _min("snapshot_eta_seconds")}),
)

_PROCESS: Final = (
    Chart(
        "CPU",
        "percentunit",
        {"{{instance}}": f'rate(process_cpu_seconds_total{{service="$service"}}[{_RATE}])'},
    ),
    Chart("Memory", "bytes", {"{{instance}}": 'process_resident_memory_bytes{service="$service"}'}),
    Chart("File descriptors", "short", {"{{instance}}": 'process_open_fds{service="$service"}'}),
    Chart("Log lines", "ops", {"{{level}}": _rate("log_lines_total", "level")}),
    Chart(
        "Sessions that ended",
        "short",
        {"{{reason}}": f"sum by (reason) (increase({_of('sessions_total')}[{_RATE}]))"},
        "By the code of the error",
    ),
    Chart("Phase", "bool", {"{{instance}}: {{state}}": f"{_of('phase')} == 1"}),
)

ROWS: Final[dict[str, Sequence[Chart] | Sequence[Verdict]]] = {
    "Overview": _OVERVIEW,
    "Stream": _STREAM,
    "Slot": _SLOT,
    "Kafka": _KAFKA,
    "Tables and outboxes": _DATA,
    "Snapshot": _SNAPSHOT,
    "Process": _PROCESS,
}
"""Each row with its panels, from the top."""

"""What a scrape holds: labels, series that start at 0, and histograms of weighted values."""

from dataclasses import replace

import pytest

from cdc_sidecar.events.commit_times import CommitTimes
from cdc_sidecar.logs import get_logger
from cdc_sidecar.metrics import Metrics, SidecarState
from cdc_sidecar.metrics.durations import WeightedHistogram
from cdc_sidecar.metrics.registry import Bound
from cdc_sidecar.postgres.slot import SlotActivity
from cdc_sidecar.runtime.snapshot_board import SnapshotBoard
from cdc_sidecar.runtime.snapshot_report import SnapshotReport
from tests.unit.test_watch import SLOT


def _lines(metrics: Metrics, accept: str = "") -> list[str]:
    return metrics.expose(accept)[1].decode().splitlines()


def test_every_series_has_the_labels_of_the_sidecar() -> None:
    metrics = Metrics({"service": "orders", "slot": "orders_cdc"})
    metrics.events.expect_table("public.items")
    series = [line for line in _lines(metrics) if not line.startswith("#")]
    assert any(line.startswith("process_cpu_seconds_total") for line in series)
    for line in series:
        assert 'service="orders",slot="orders_cdc"' in line


def test_what_is_known_starts_at_0_and_nothing_tells_when_it_was_created() -> None:
    metrics = Metrics()
    metrics.events.expect_table("public.items")
    metrics.events.expect_outbox("public.outbox", ["Paid"])
    metrics.events.expect_ignored("public.logs")
    metrics.snapshot.expect("public.items")
    metrics.expect_sessions(["CDC-201"])
    lines = _lines(metrics)
    for series in (
        *(f'events_total{{op="{op}",table="public.items"}}' for op in "cudtr"),
        'events_total{op="outbox",table="public.outbox"}',
        'outbox_events_total{event_type="Paid",table="public.outbox"}',
        'outbox_invalid_events_total{event_type="Paid",table="public.outbox"}',
        'ignored_changes_total{table="public.logs"}',
        'snapshot_superseded_total{table="public.items"}',
        'sessions_total{reason="CDC-201"}',
        'kafka_transactions_total{state="aborted"}',
        'end_to_end_seconds_bucket{le="+Inf"}',
        'snapshot_chunks_total{state="discarded"}',
        'slot_wal_status{state="lost"}',
    ):
        assert f"cdc_sidecar_{series} 0.0" in lines
    assert not [line for line in lines if "_created" in line]


def test_open_metrics_is_served_to_those_who_ask_for_it() -> None:
    kind, text = Metrics().expose("application/openmetrics-text; version=1.0.0, text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    kind, text = Metrics().expose("text/html, */*")
    assert kind.startswith("text/plain; version=0.0.4")
    assert b"# EOF" not in text


def test_the_state_is_shown_as_it_is_at_the_scrape() -> None:
    metrics = Metrics()
    metrics.state.read = lambda: SidecarState(
        phases=("streaming", "halted"), phase="halted", halted="CDC-208", leader=True
    )
    lines = _lines(metrics)
    for line in (
        'phase{state="halted"} 1.0',
        'phase{state="streaming"} 0.0',
        'halted{reason="CDC-208"} 1.0',
        "leader 1.0",
        "ready 0.0",
        "last_commit_timestamp_seconds NaN",
    ):
        assert f"cdc_sidecar_{line}" in lines
    metrics.state.read = SidecarState
    assert 'cdc_sidecar_halted{reason=""} 0.0' in _lines(metrics)


def test_what_is_not_known_is_not_a_number() -> None:
    metrics = Metrics()
    metrics.state.read = SidecarState
    assert "cdc_sidecar_kafka_reachable NaN" in _lines(metrics)
    assert "cdc_sidecar_postgres_clock_offset_seconds NaN" in _lines(metrics)
    metrics.state.read = lambda: SidecarState(kafka_reachable=False)
    metrics.slot.show(replace(SLOT, clock_offset=-1.5), SlotActivity(None, None), 1.0)
    assert "cdc_sidecar_kafka_reachable 0.0" in _lines(metrics)
    assert "cdc_sidecar_postgres_clock_offset_seconds -1.5" in _lines(metrics)


def test_a_value_counts_as_often_as_it_weighs() -> None:
    histogram = WeightedHistogram("x_seconds", "x", (0.01, 1))
    histogram.observe(0.01, 3)
    histogram.observe(0.5)
    histogram.observe(50, 2)
    (family,) = histogram.collect()
    values = {(s.name[12:], s.labels.get("le")): s.value for s in family.samples}
    assert values == {
        ("x_seconds_bucket", "0.01"): 3,
        ("x_seconds_bucket", "1.0"): 4,
        ("x_seconds_bucket", "+Inf"): 6,
        ("x_seconds_count", None): 6,
        ("x_seconds_sum", None): pytest.approx(100.53),
    }


def test_labels_beyond_the_limit_share_one_series_of_their_table() -> None:
    bound = Bound(2)
    assert bound("t", "a") == bound("t", "a") == ("t", "a")
    assert bound("u", "a") == ("u", "a")
    assert bound("t", "c") == ("t", "other")
    assert bound("t", "a") == ("t", "a")


def test_transactions_of_one_millisecond_are_one_moment_and_all_are_counted() -> None:
    times = CommitTimes()
    for moment in (1_000_000, 1_000_900, 1_001_000, 1_000_500):
        times.add(moment)
    assert list(times) == [(1_000_000, 2), (1_001_000, 1), (1_000_500, 1)]
    more = CommitTimes([[1_000_600, 0], [5_000_000, 4]])
    times.extend(more)
    assert list(times)[-2:] == [(1_000_500, 1), (5_000_000, 4)]
    assert times.first == 1_000_000
    assert CommitTimes().first is None


def test_the_age_of_a_reading_transaction_grows_until_it_ends() -> None:
    metrics = Metrics()
    report = SnapshotReport(get_logger(), metrics.snapshot, SnapshotBoard())
    name = "cdc_sidecar_snapshot_oldest_xmin_seconds"
    assert f"{name} 0.0" in _lines(metrics)
    report.chunk_begun()
    (first,) = [line for line in _lines(metrics) if line.startswith(f"{name} ")]
    (second,) = [line for line in _lines(metrics) if line.startswith(f"{name} ")]
    assert 0 < float(first.split()[1]) < float(second.split()[1])
    report.chunk_ended()
    assert f"{name} 0.0" in _lines(metrics)

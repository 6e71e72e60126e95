"""What was counted while events were assembled moves the metric of its name and labels."""

from cdc_sidecar.events.counts import Count, Counted, Counts, add_counts
from cdc_sidecar.metrics import Metrics

_LINES: dict[Count, str] = {
    Count(Counted.EVENTS, "public.orders", "c"): 'events_total{op="c",table="public.orders"}',
    Count(Counted.IGNORED, "public.logs"): 'ignored_changes_total{table="public.logs"}',
    Count(Counted.UNCHANGED, "public.orders", "note"): (
        'unchanged_columns_total{column="note",table="public.orders"}'
    ),
    Count(Counted.SKIPPED_TRUNCATES, "public.logs"): 'skipped_truncates_total{table="public.logs"}',
    Count(Counted.OUTBOX_EVENTS, "public.outbox", "Paid"): (
        'outbox_events_total{event_type="Paid",table="public.outbox"}'
    ),
    Count(Counted.OUTBOX_UPDATES, "public.outbox"): 'outbox_updates_total{table="public.outbox"}',
}


def test_every_kind_of_count_moves_its_metric() -> None:
    assert {key.counted for key in _LINES} == set(Counted)
    metrics = Metrics()
    metrics.events.count(dict.fromkeys(_LINES, 3))
    exposed = metrics.expose()[1].decode().splitlines()
    assert {f"cdc_sidecar_{line} 3.0" for line in _LINES.values()} <= set(exposed)


def test_counts_of_the_same_key_are_added() -> None:
    event, other = Count(Counted.EVENTS, "t", "c"), Count(Counted.EVENTS, "t", "u")
    total: Counts = {event: 1}
    add_counts(total, {Count(Counted.EVENTS, "t", "c"): 2, other: 5})
    assert total == {event: 3, other: 5}


def test_the_number_of_event_types_with_series_of_their_own_is_bounded() -> None:
    metrics = Metrics()
    counts = {Count(Counted.OUTBOX_EVENTS, "t", f"type {n}"): 1 for n in range(300)}
    metrics.events.count(counts)
    exposed = metrics.expose()[1].decode()
    assert exposed.count("cdc_sidecar_outbox_events_total{") == 201
    assert 'cdc_sidecar_outbox_events_total{event_type="other",table="t"} 100.0' in exposed

"""The progress of snapshots as people and programs see it."""

from dataclasses import replace

from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.http.status_text import rows
from cdc_sidecar.runtime.snapshot_board import SnapshotBoard, TableProgress
from tests.unit.test_status_text import STREAMING

_ORDERS = TableSnapshot(
    oid=1, name="public.orders", generation=1, initial=True, phase=SnapshotPhase.READING,
    by="ctid", cursor=("25",), bound=("100",),
    rows=2_000, estimate=8_000,
)  # fmt: skip
_LINES = TableSnapshot(2, "public.lines", 1, initial=True, phase=SnapshotPhase.WAITING)


def _line(snapshot: object) -> str:
    return dict(rows({**STREAMING, "snapshot": snapshot}, 1_000_000.0))["snapshot"]


def test_pages_give_exact_progress_and_keys_an_estimate_below_all() -> None:
    assert TableProgress(_ORDERS).ratio == 0.25
    by_key = replace(_ORDERS, by="key", cursor=("9",), bound=("9",), rows=9_000)
    assert TableProgress(by_key).ratio == 0.99
    assert TableProgress(replace(by_key, phase=SnapshotPhase.DONE)).ratio == 1.0
    assert TableProgress(_LINES).ratio == 0.0


def test_a_process_without_snapshots_shows_none() -> None:
    assert SnapshotBoard().as_json() is None


def test_the_status_says_in_words_how_far_it_is_and_what_it_waits_for() -> None:
    board = SnapshotBoard()
    board.open([_ORDERS, _LINES])
    board.move(_ORDERS)
    assert board.wait("fence", ["process 7 of shop"])
    assert not board.wait("fence", ["process 7 of shop"])
    body = board.as_json()
    assert body is not None
    assert body["phases"] == {"reading": 1, "waiting": 1}
    assert body["eta_seconds"] is None  # the size of a table is not known
    text = _line(body)
    assert text.startswith(
        "0 of 2 tables complete, public.orders 25% (2,000 of about 8,000 rows), 0 rows/s"
    )
    assert text.endswith("waits: fence of process 7 of shop")


def test_a_table_that_failed_is_named_with_its_reason() -> None:
    board = SnapshotBoard()
    board.open([replace(_ORDERS, phase=SnapshotPhase.FAILED, error="CDC-209: denied")])
    assert _line(board.as_json()) == "0 of 1 table complete, public.orders failed (CDC-209: denied)"

"""The answers of the probes: a line each for stream, Kafka and slot."""

import time
from dataclasses import replace

import pytest

from cdc_sidecar.errors import SlotLost
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.http.pages import Pages
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.slot import DecodedSums, SlotActivity, Walsender
from cdc_sidecar.runtime.beats import LIMITS
from cdc_sidecar.runtime.status import STUCK_AFTER, Phase, Status
from cdc_sidecar.runtime.status_board import StatusBoard
from tests.unit.test_watch import SLOT


def _board(**changes: object) -> StatusBoard:
    board = StatusBoard(Status("orders", "orders_cdc", "cdc.orders", "0", 0.0))
    now = time.time()
    board.update(phase=Phase.STREAMING, beat=now, kafka_reachable=True, **changes)
    return board


def _get(board: StatusBoard, path: str) -> tuple[int, str]:
    status, _, body = Pages(board, Metrics(), Subjects()).get(path)
    return status, body.decode()


def test_all_three_good_is_ready() -> None:
    board = _board(slot=SLOT, slot_seen_at=time.time())
    assert _get(board, "/readyz") == (200, "stream: streaming\nkafka: reachable\nslot: reserved\n")
    assert _get(board, "/livez") == (200, "ok\n")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"phase": Phase.BACKING_OFF}, "stream: backing off"),
        ({"stalled": True}, "stream: stalled"),
        ({"kafka_reachable": False}, "kafka: away for 0 s"),
        ({"slot": replace(SLOT, wal_status="lost"), "slot_seen_at": time.time()}, "slot: lost"),
        (
            {"slot": replace(SLOT, invalidation_reason="idle_timeout"), "slot_seen_at": 1.0},
            "slot: lost, as seen",
        ),
    ],
    ids=["stream", "stall", "kafka", "slot", "reason"],
)
def test_each_of_the_three_makes_it_unready_and_none_unalive(
    changes: dict[str, object], line: str
) -> None:
    board = _board()
    board.update(**changes)
    status, text = _get(board, "/readyz")
    assert status == 503
    assert line in text
    assert _get(board, "/livez")[0] == 200


def test_a_waiting_standby_is_ready_unless_the_slot_is_lost() -> None:
    board = _board(slot=SLOT, slot_seen_at=time.time())
    board.update(phase=Phase.WAITING, kafka_reachable=False)
    status, text = _get(board, "/readyz")
    assert status == 200
    assert "stream: waiting\nkafka: not asked while waiting\nslot: reserved" in text
    board.update(slot=replace(SLOT, wal_status="lost"))
    assert _get(board, "/readyz")[0] == 503


def test_kafka_answers_or_not_only_while_somebody_asks() -> None:
    board = StatusBoard(Status("orders", "orders_cdc", "cdc.orders", "0", 0.0))
    assert board.now.kafka_answers is None, "it was not asked yet"
    board.update(phase=Phase.STREAMING, kafka_reachable=True)
    assert board.now.kafka_answers is True
    board.update(phase=Phase.BACKING_OFF, kafka_reachable=False)
    assert board.now.kafka_answers is False
    for phase in (Phase.WAITING, Phase.HALTED, Phase.STOPPED):
        board.update(phase=phase)
        assert board.now.kafka_answers is None


def test_why_a_session_ended_stands_below() -> None:
    board = _board(error=str(SlotLost("gone", hint="look")))
    assert _get(board, "/readyz")[1].splitlines()[3].startswith("CDC-205")


def test_only_a_loop_that_stands_still_is_not_alive() -> None:
    board = _board()
    board.update(beat=time.time() - STUCK_AFTER - 1)
    assert _get(board, "/livez")[0] == 503


@pytest.mark.parametrize("phase", list(Phase))
def test_a_main_thread_that_stands_still_is_not_alive_in_any_phase(phase: Phase) -> None:
    board = _board()
    board.update(phase=phase)
    board.beats.note({"main": time.monotonic() - LIMITS["main"] + 5})
    assert _get(board, "/livez")[0] == 200
    board.beats.note({"main": time.monotonic() - LIMITS["main"] - 1})
    assert _get(board, "/livez") == (503, "no progress in the main thread\n")


def test_a_slot_that_is_about_to_be_lost_is_not_called_good() -> None:
    slot = replace(SLOT, wal_status="unreserved")
    board = _board(slot=slot, slot_seen_at=time.time())
    status, text = _get(board, "/readyz")
    assert status == 200
    assert "slot: unreserved, about to be lost" in text
    page = _get(board, "/")[1]
    assert "Streams, but its slot is about to be lost." in page
    assert 'class="verdict bad"' in page


def test_the_status_page_shows_what_was_seen_of_slot_and_walsender() -> None:
    activity = SlotActivity(
        DecodedSums(12, 3400, 5, 6, 7), Walsender(99, "streaming", Lsn(0x10), None, None)
    )
    board = _board(
        slot=SLOT, slot_seen_at=1.0, slot_activity=activity, warnings=("the slot <is> in danger",)
    )
    status, page = _get(board, "/")
    assert status == 200
    for part in ("12 transactions", "Spilled to disk", "the slot &lt;is&gt; in danger"):
        assert part in page
    assert "Streams and is up to date." in page
    shown = board.now.as_json()
    assert shown["slot"]["decoded"]["transactions"] == 12
    assert shown["slot"]["seconds_left"] is None


def test_sums_of_the_server_are_counters_and_absent_before_the_first_look() -> None:
    metrics = Metrics()
    assert b"\ncdc_sidecar_slot_decoded_bytes_total" not in metrics.expose()[1]
    assert b"cdc_sidecar_slot_safe_bytes NaN" in metrics.expose()[1]
    metrics.slot.show(SLOT, SlotActivity(DecodedSums(12, 3400, 5, 6, 7), None), 60.0)
    _, text = metrics.expose()
    assert b"\ncdc_sidecar_slot_decoded_bytes_total 3400.0" in text
    assert b"\ncdc_sidecar_slot_time_left_seconds 60.0" in text
    assert b"\ncdc_sidecar_walsender_sent_lsn_bytes NaN" in text
    assert b"\ncdc_sidecar_slot_safe_bytes +Inf" in text

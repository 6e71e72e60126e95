"""The conclusions from several readings at the slot; no server is asked."""

import math
from dataclasses import replace

import pytest

from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.slot import SlotActivity, SlotStatus, Walsender
from cdc_sidecar.runtime.watch import Danger, Outlook, Reading, Stall

IDLE = Walsender(7, "streaming", Lsn(1000), Lsn(1000), "WalSenderWaitForWal")
SENDING = replace(IDLE, wait_event=None)
SLOT = SlotStatus(
    *("orders_cdc", "pgoutput", "orders", False, 7, Lsn(1000)),
    *("reserved", None, None, 0, 0, None),
)


def _reading(at: float, *, safe: int | None = None, retained: int = 0, lag: int = 0) -> Reading:
    slot = replace(SLOT, safe_wal_size=safe, retained_bytes=retained, confirmed_lag_bytes=lag)
    return Reading(at, slot, SlotActivity(None, IDLE), session=1, flowing=True, commits=5)


def test_the_time_left_is_the_room_at_the_rate_of_growth() -> None:
    outlook = Outlook()
    left = [
        outlook.observe(_reading(10 * n, safe=9000 - 1000 * n, retained=1000 * n)) for n in range(5)
    ]
    assert left[:3] == [math.inf] * 3, "two or three readings give no rate yet"
    assert left[3:] == [60.0, 50.0]


def test_without_a_limit_or_without_growth_nothing_endangers_the_slot() -> None:
    outlook = Outlook()
    assert all(math.isinf(outlook.observe(_reading(10 * n, retained=n * 10**9))) for n in range(9))
    still = Outlook()
    assert all(math.isinf(still.observe(_reading(10 * n, safe=5, retained=7))) for n in range(9))


def test_a_slot_that_catches_up_time_and_again_is_not_in_danger() -> None:
    outlook = Outlook()
    saw = [0, 300, 600, 900, 1200, 0, 300, 600, 900, 1200, 0, 300, 600, 900, 1200]
    left = [outlook.observe(_reading(10 * n, safe=9000 - r, retained=r)) for n, r in enumerate(saw)]
    assert all(math.isinf(seconds) for seconds in left[11:])


def test_a_slot_without_room_or_lost_has_no_time_left() -> None:
    assert Outlook().observe(_reading(0, safe=-1)) == 0
    lost = _reading(0)
    assert Outlook().observe(replace(lost, slot=replace(lost.slot, wal_status="lost"))) == 0


def test_danger_is_told_once_and_over_only_when_it_is_far() -> None:
    danger = Danger()
    told = [danger.observe(SLOT, seconds) for seconds in (math.inf, 3599, 3000, 3700, 7100, 7300)]
    assert told == [False, True, False, False, False, True]
    assert danger.warning(math.inf) is None


@pytest.mark.parametrize("status", ["extended", "unreserved"])
def test_a_status_that_is_not_reserved_is_warned_of(status: str) -> None:
    danger = Danger()
    assert danger.observe(replace(SLOT, wal_status=status), math.inf)
    assert status in str(danger.warning(math.inf))


def test_a_stream_is_stalled_when_wal_grows_and_nothing_moves() -> None:
    stall = Stall(240)
    assert [stall.observe(_reading(10 * n, lag=100 * n)) for n in range(3)] == [False] * 2 + [True]
    moved = _reading(30, lag=300)
    slot = replace(moved.slot, confirmed_flush_lsn=Lsn(1300))
    assert not stall.observe(replace(moved, slot=slot))


def test_an_idle_stream_is_not_stalled() -> None:
    stall = Stall(240)
    assert not any(stall.observe(_reading(10 * n, lag=77)) for n in range(40)), "no WAL is written"
    readings = [_reading(10 * n, lag=100 * n) for n in range(40)]
    confirmed = [
        replace(reading, slot=replace(reading.slot, confirmed_flush_lsn=Lsn(1000 + n)))
        for n, reading in enumerate(readings)
    ]
    assert not any(stall.observe(reading) for reading in confirmed), (
        "others write, and it is confirmed"
    )


def test_a_stream_that_does_not_flow_is_not_called_stalled() -> None:
    stall = Stall(240)
    readings = [replace(_reading(10 * n, lag=100 * n), flowing=n > 9) for n in range(12)]
    assert not any(stall.observe(reading) for reading in readings)


def test_a_long_transaction_on_its_way_is_given_the_time_until_it_is_split() -> None:
    stall = Stall(60)
    readings = [
        replace(_reading(10 * n, lag=100 * n), activity=SlotActivity(None, SENDING))
        for n in range(10)
    ]
    assert [stall.observe(reading) for reading in readings].index(True) == 8
    parts = [replace(reading, at=reading.at + 100, commits=n) for n, reading in enumerate(readings)]
    assert not any(stall.observe(reading) for reading in parts), "each part is a commit"

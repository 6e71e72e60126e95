"""The sentence and the lines of `status`, and its words for amounts."""

from typing import Any

import pytest

from cdc_sidecar.commands.position_text import lines, sentence
from cdc_sidecar.http.status_text import details, verdict
from cdc_sidecar.runtime.rates import Rates
from cdc_sidecar.wording import ago, number, size, span

_NOW = 1_000_000.0
_SLOT = {
    "name": "orders_cdc",
    "wal_status": "reserved",
    "retained_bytes": 1_234_567_890,
    "safe_wal_size": None,
    "confirmed_lag_bytes": 42,
}
STREAMING = {
    "service": "orders",
    "phase": "streaming",
    "phase_since": _NOW - 60,
    "ready": True,
    "transactional_id": "cdc.orders.orders_cdc",
    "kafka": {"reachable": True, "since": _NOW - 7200, "commits": 1, "last_commit_at": _NOW - 90},
    "position": "0/1",
    "lag_seconds": 0.0,
    "slot": _SLOT,
    "error": None,
}
_REASON = {"code": "CDC-208", "title": "t", "fact": "f", "where": "", "cause": "", "hint": "h"}
_DOWN = {
    **STREAMING,
    "phase": "down",
    "ready": False,
    "kafka": None,
    "url": "http://127.0.0.1:9464",
    "written_at": _NOW - 300,
    "commits": 7,
    "slot": {**_SLOT, "exists": True, "active_pid": None},
    "last_run": None,
    "fault": None,
    "errors": {"postgres": None, "kafka": None},
}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "orders streams and is up to date."),
        ({"lag_seconds": 200.0}, "orders streams, 3 min behind."),
        (
            {"ready": False, "kafka": {"reachable": False, "since": _NOW - 12}},
            "orders cannot publish: Kafka has been away for 12 s; changes wait in Postgres.",
        ),
        (
            {"ready": False, "stalled": True},
            "orders is stalled: WAL grows, but nothing is published.",
        ),
        ({"ready": False}, "orders streams, but its slot is lost."),
        (
            {"phase": "halted", "error": "CDC-205 slot lost: x\n  hint: y"},
            "orders halted 1 min ago: CDC-205 slot lost: x",
        ),
        (
            {"phase": "backing off", "error": "CDC-201 Postgres is away\n  hint: y"},
            "orders does not stream, and tries again soon: CDC-201 Postgres is away",
        ),
        ({"phase": "claiming"}, "orders does not stream yet: claiming for 1 min."),
        (
            {"phase": "a later version's"},
            "orders does not stream yet: a later version's for 1 min.",
        ),
    ],
)
def test_one_sentence_says_how_a_running_sidecar_is(changed: dict[str, Any], sentence: str) -> None:
    assert verdict({**STREAMING, **changed}, _NOW) == sentence


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "it ended without a last word. Its last commit was 5 min ago."),
        ({"written_at": None}, "it has not run yet. `cdc-sidecar check` says whether it would."),
        (
            {"last_run": {"state": "halted", "at": (_NOW - 30) * 1e6, "reason": _REASON}},
            "it halted 30 s ago with CDC-208 t: f.",
        ),
        (
            {"last_run": {"state": "stopped", "at": (_NOW - 86400) * 1e6, "reason": None}},
            "it was stopped 1 d ago.",
        ),
        (
            {"last_run": {"state": "streaming", "at": (_NOW - 9999) * 1e6, "reason": None}},
            "it ended without a last word, some time after its last commit 5 min ago.",
        ),
    ],
)
def test_one_sentence_says_why_a_sidecar_is_down(changed: dict[str, Any], sentence: str) -> None:
    assert verdict({**_DOWN, **changed}, _NOW) == f"orders is down: {sentence}"


def test_the_lines_show_what_is_known_and_leave_out_the_rest() -> None:
    shown = "\n".join(details(STREAMING, _NOW))
    assert "Postgres keeps 1.2 GB of WAL for it" in shown
    assert "0/1, committed 1 min ago, 1 commit\n" in shown
    assert "lag       0 s, 42 B of WAL" in shown
    assert "reachable for 2 h" in shown
    assert "source" not in shown
    assert "None" not in shown


def test_a_fault_that_is_also_the_reason_of_the_halt_is_shown_once() -> None:
    run = {"state": "halted", "at": _NOW * 1e6, "reason": _REASON}
    lines = list(details({**_DOWN, "last_run": run, "fault": _REASON}, _NOW))
    assert [line for line in lines if "hint" in line] == ["  hint:  h"]
    lines = list(details({**_DOWN, "fault": _REASON}, _NOW))
    assert lines[0] == "It cannot continue as it is: CDC-208 t: f"


def test_amounts_are_words() -> None:
    assert [size(n) for n in (0, 999, 1000, 15_500, 2_000_000, 3.2e12)] == [
        "0 B",
        "999 B",
        "1 kB",
        "16 kB",
        "2 MB",
        "3.2 TB",
    ]
    assert [span(s) for s in (0, 0.008, 1, 59, 60, 7300, 90_000, -1)] == [
        "0 s",
        "8 ms",
        "1 s",
        "59 s",
        "1 min",
        "2 h",
        "1 d",
        "0 s",
    ]
    assert [ago(99.5, 100), ago(40, 100)] == ["just now", "1 min ago"]
    assert [number(1, "commit"), number(1200, "commit")] == ["1 commit", "1,200 commits"]


def test_rates_are_those_of_the_last_minute() -> None:
    clock = [1000.0]
    measured = Rates(lambda: clock[0])
    measured.add(30, 600, 1)
    measured.add(30, 600, 1)
    clock[0] += 2
    assert measured.as_json()["events_per_second"] == 30
    clock[0] += 28
    measured.add(60, 0, 1)
    assert measured.as_json() == {
        "events_per_second": 4,
        "bytes_per_second": 40,
        "transactions_per_second": 0.1,
    }
    clock[0] += 40
    assert measured.as_json()["events_per_second"] == 1
    clock[0] += 60
    assert measured.as_json()["events_per_second"] == 0


_MEANING = {"state": "continuous", "gap_bytes": 0, "code": None, "fact": None, "hint": None}
_SHOWN = {
    "service": "orders",
    "transactional_id": "cdc.orders.orders_cdc",
    "meaning": _MEANING,
    "position": {
        "end": "0/10",
        "partial": {"part": 2, "xid": 755, "final_lsn": "0/20"},
        "commits": 1200,
        "instance": "host/1",
        "written_at": (_NOW - 300) * 1e6,
    },
    "slot": {**_SLOT, "exists": True, "active_pid": None, "confirmed_flush_lsn": "0/11"},
    "server": {"database": "orders", "timeline": 3, "wal_end": "0/50"},
}


def test_position_show_speaks_as_status_does() -> None:
    assert sentence(_SHOWN) == "orders can continue: the slot and the position fit together."
    assert list(lines(_SHOWN, "18.1", 64_000, _NOW)) == [
        "source    Postgres 18.1, database orders, timeline 3, WAL ends at 0/50",
        (
            "slot      orders_cdc is reserved, confirmed up to 0/11, not in use,"
            " Postgres keeps 1.2 GB of WAL for it"
        ),
        (
            "position  0/10, committed 5 min ago, 1,200 commits, by host/1,"
            " after part 2 of transaction 755 at 0/20"
        ),
        "lag       64 kB of WAL",
        "sidecar   transactional id cdc.orders.orders_cdc",
    ]


def test_position_show_says_why_a_sidecar_cannot_continue() -> None:
    gap = {"state": "gap", "gap_bytes": 4_200_000, "code": "CDC-504", "fact": "f", "hint": "h"}
    shown = {**_SHOWN, "meaning": gap}
    assert sentence(shown) == "orders cannot continue as it is: gap of 4.2 MB of WAL."
    assert list(lines(shown, "18.1", 0, _NOW))[:2] == ["  CDC-504: f", "  hint:  h"]
    nothing = {**_SHOWN, "meaning": {**_MEANING, "state": "no position"}, "position": None}
    assert sentence(nothing) == "orders has no position: it has not run yet."
    assert not any(line.startswith("position") for line in lines(nothing, "18.1", None, _NOW))

"""The verdict of the demo is good with the sidecar, and bad if anything is wrong."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cdc_sidecar.demo.verdict import OUTBOX, TOMBSTONE, Event, Replica, TableRows, Tally, Verdict
from cdc_sidecar.errors import DemoUnavailable
from tests.waiting import await_true

_VERDICT = re.compile(r"^(\d+) events, 0 lost, 0 repeated, tables equal$", re.MULTILINE)
_ARRIVED = re.compile(r"[1-9]\d* events arrived")
_SECONDS = 120  # for a whole demo, servers included

_ORDERS, _EVENTS = "shop.public.orders", "outbox.event.order"
_RECORDED = (
    Event(_ORDERS, '["1"]', "100/1", "c", after={"id": "1", "status": "placed", "note": "long"}),
    Event(_ORDERS, '["2"]', "100/2", "c", after={"id": "2", "status": "placed", "note": None}),
    Event(_EVENTS, '["1"]', "8d5e", OUTBOX, after={"type": "OrderPlaced", "payload": "{}"}),
    Event(
        _ORDERS,
        '["1"]',
        "200/1",
        "u",
        after={"id": "1", "status": "paid", "note": None},
        unchanged=("note",),
    ),
    Event(_ORDERS, '["2"]', "300/1", "d", before={"id": "2", "status": None, "note": None}),
    Event(_ORDERS, '["2"]', TOMBSTONE, TOMBSTONE),
    Event(_ORDERS, '["3"]', "300/2", "c", after={"id": "3", "status": "paid", "note": None}),
)
_TABLES: dict[str, TableRows] = {
    _ORDERS: {
        '["1"]': {"id": "1", "status": "paid", "note": "long", "channel": None},
        '["3"]': {"id": "3", "status": "paid", "note": None, "channel": None},
    }
}


def test_the_demo_survives_a_kill_and_ends_with_a_good_verdict(tmp_path: Path) -> None:
    done = subprocess.run(
        _demo(tmp_path, "--seconds", "15"),
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = _VERDICT.search(done.stdout)
    assert verdict, done.stdout
    assert int(verdict[1]) > 500
    assert re.search(r"SIGKILL +once, streaming again after", done.stdout)
    assert _left_running(tmp_path) == []


def test_an_endless_demo_ends_with_a_verdict_on_ctrl_c(tmp_path: Path) -> None:
    log = tmp_path / "output"
    with log.open("wb") as output:
        running = subprocess.Popen(_demo(tmp_path), stdout=output, stderr=output)
    try:
        await_true(
            lambda: running.poll() is not None or _ARRIVED.search(log.read_text(encoding="utf-8")),
            deadline=_SECONDS,
            what="the first events of the demo",
        )
        assert running.poll() is None, log.read_text(encoding="utf-8")
        running.send_signal(signal.SIGINT)
        assert running.wait(_SECONDS) == 0, log.read_text(encoding="utf-8")
    finally:
        running.kill()
        running.wait()
    assert _VERDICT.search(log.read_text(encoding="utf-8"))
    assert _left_running(tmp_path) == []


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    from cdc_sidecar.commands.demo import demo  # noqa: PLC0415 - this test alone

    letter = tmp_path / "letter"
    letter.write_text("mine", encoding="utf-8")
    with pytest.raises(DemoUnavailable, match="something other than a demo"):
        demo(tmp_path, seconds=5)
    assert letter.read_text(encoding="utf-8") == "mine"


def test_the_verdict_is_good_when_everything_came_once() -> None:
    verdict = _judge(_RECORDED)
    assert (verdict.is_good, str(verdict)) == (
        True,
        "6 events, 0 lost, 0 repeated, tables equal",
    )


def test_the_verdict_does_not_depend_on_which_side_is_read_first() -> None:
    tally = Tally()
    for event in _RECORDED:
        tally.see(event)
    for event in _RECORDED:
        tally.expect(event)
    assert tally.judge([]).is_good


@pytest.mark.parametrize("place", range(len(_RECORDED)))
def test_a_dropped_event_is_lost(place: int) -> None:
    verdict = _judge(_RECORDED[:place] + _RECORDED[place + 1 :])
    assert (verdict.is_good, verdict.lost, verdict.repeated) == (False, 1, 0)
    assert "1 lost, 0 repeated" in str(verdict)


@pytest.mark.parametrize("place", range(len(_RECORDED)))
def test_an_event_that_comes_twice_is_repeated(place: int) -> None:
    verdict = _judge((*_RECORDED[: place + 1], *_RECORDED[place:]))
    assert (verdict.is_good, verdict.lost, verdict.repeated) == (False, 0, 1)
    assert "0 lost, 1 repeated" in str(verdict)


def test_an_event_that_comes_again_at_the_end_is_repeated() -> None:
    assert "0 lost, 1 repeated" in str(_judge((*_RECORDED, _RECORDED[0])))


def test_an_event_of_a_transaction_that_never_committed_is_told() -> None:
    stray = replace(_RECORDED[0], identity="150/1", key='["9"]')
    assert not _judge((*_RECORDED, stray)).is_good


def test_a_changed_value_makes_tables_differ_and_the_event_altered() -> None:
    wrong = replace(_RECORDED[-1], after={"id": "3", "status": "packed", "note": None})
    verdict = _judge((*_RECORDED[:-1], wrong))
    assert (verdict.is_good, verdict.altered) == (False, 1)
    assert str(verdict).endswith(f"tables differ: {_ORDERS}")


def test_a_value_that_is_wrong_only_for_a_while_is_altered() -> None:
    wrong = replace(_RECORDED[0], after={"id": "1", "status": "packed", "note": "long"})
    verdict = _judge((wrong, *_RECORDED[1:]))
    assert (verdict.is_good, verdict.altered, verdict.different) == (False, 1, ())


def test_a_null_in_place_of_an_unchanged_value_makes_tables_differ() -> None:
    wrong = replace(_RECORDED[3], unchanged=())
    assert _judge((*_RECORDED[:3], wrong, *_RECORDED[4:])).different == (_ORDERS,)


def test_events_of_a_key_in_another_order_are_told() -> None:
    first, second, outbox, third, *others = _RECORDED
    verdict = _judge((third, second, outbox, first, *others))
    assert (verdict.is_good, verdict.lost, verdict.repeated, verdict.misordered) == (False, 0, 0, 1)


def test_a_row_that_no_event_told_of_makes_tables_differ() -> None:
    extra = {"id": "7", "status": "paid", "note": None, "channel": None}
    tables: dict[str, TableRows] = {_ORDERS: {**_TABLES[_ORDERS], '["7"]': extra}}
    replica = Replica()
    for event in _RECORDED:
        replica.apply(event)
    assert replica.differences(tables) == [_ORDERS]


def test_nothing_at_all_is_no_good_verdict() -> None:
    assert not Tally().judge([]).is_good


def _judge(seen: Iterable[Event]) -> Verdict:
    tally, replica = Tally(), Replica()
    for event in _RECORDED:
        tally.expect(event)
    for event in seen:
        tally.see(event)
        replica.apply(event)
    return tally.judge(replica.differences(_TABLES))


def _demo(folder: Path, *options: str) -> Sequence[str]:
    command = [sys.executable, "-m", "cdc_sidecar", "demo"]
    return [*command, "--folder", str(folder / "demo"), *options]


def _left_running(folder: Path) -> list[str]:
    """Return the commands of the processes that have `folder` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if str(folder).encode() in command:
            found.append(command.decode(errors="replace"))
    return found

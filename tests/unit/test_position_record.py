"""The position record keeps what a newer version of the sidecar has added to it."""

import json
from dataclasses import replace

import pytest

from cdc_sidecar.errors import PositionUnreadable
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.hanging import OffsetRange
from cdc_sidecar.kafka.position import (
    Move,
    PositionRecord,
    SourceIdentity,
    decode_position,
)
from cdc_sidecar.postgres.lsn import Lsn

_SOURCE = SourceIdentity("7", 1, "orders", 5, "orders_cdc", "cdc")
_PARTIAL = Partial(Lsn(1500), 9, Lsn(1200), 0, 2, 10, {"public.items": 10})
_MOVE = Move(77, "reset", Lsn(900), Lsn(1000), "why", "me@here")
RECORD = PositionRecord(
    _SOURCE, Position(Lsn(1000), _PARTIAL), 3, "print", "host/1", 5, resets=(_MOVE,)
)


def _with(**fields: object) -> bytes:
    return json.dumps({**json.loads(RECORD.encode()), **fields}).encode()


def test_a_record_reads_as_it_was_written() -> None:
    assert decode_position(RECORD.encode()) == RECORD


def test_a_later_move_keeps_which_records_are_still_to_be_restored() -> None:
    restoring = (OffsetRange("s.public.items", 2, 5, 9),)
    record = replace(RECORD, restoring=restoring)
    assert decode_position(record.encode()) == record
    moved = record.reset(_MOVE, _SOURCE, "host/2")
    assert decode_position(moved.encode()).restoring == restoring


def test_unknown_fields_of_the_same_version_are_kept_by_every_later_commit() -> None:
    read = decode_position(_with(snapshot={"table": "items"}, zone="a"))
    assert read.position == RECORD.position
    later = read.moved(Position(Lsn(2000)), "print", 6)
    written = json.loads(later.encode())
    assert (written["snapshot"], written["zone"]) == ({"table": "items"}, "a")
    assert written["end"] == "0/7D0"


def test_unknown_fields_of_a_move_are_kept_and_those_of_a_partial_position_are_ignored() -> None:
    content = json.loads(RECORD.encode())
    content["resets"][0]["approved_by"] = "her"
    content["partial"]["bytes"] = 7
    read = decode_position(json.dumps(content).encode())
    assert read.position == RECORD.position
    assert json.loads(read.encode())["resets"][0]["approved_by"] == "her"


@pytest.mark.parametrize(
    "value",
    [
        _with(v=2),
        b"{}",
        b"[]",
        b"not JSON",
        _with(end="somewhere"),
        _with(partial={"final_lsn": "0/1"}),
        _with(resets=[{}]),
        _with(restoring=[{}]),
    ],
    ids=["version", "empty", "list", "text", "lsn", "partial", "move", "restoring"],
)
def test_another_version_or_a_malformed_record_is_refused(value: bytes) -> None:
    with pytest.raises(PositionUnreadable):
        decode_position(value)

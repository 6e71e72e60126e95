"""One judgement for all: whether a position continues on a source; no server is asked."""

from dataclasses import replace

import pytest

from cdc_sidecar.checks.continuity import Continuity, SourceState
from cdc_sidecar.errors import (
    ConfigChangedInside,
    PositionElsewhere,
    SidecarError,
    SlotAhead,
    SlotLost,
    SlotMissing,
    SlotUnfit,
    SourceChanged,
    WalWentBack,
)
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.slot import SlotStatus

IDENTITY = SourceIdentity("7", 2, "orders", 5, "orders_cdc", "cdc")
SLOT = SlotStatus(
    *("orders_cdc", "pgoutput", "orders", False, None, Lsn(900)),
    *("reserved", None, None, 0, 0, None),
)
SOURCE = SourceState(IDENTITY, SLOT, Lsn(2000), {1: Lsn(500)})
RECORD = PositionRecord(IDENTITY, Position(Lsn(1000)), 3, "print", "host/1", 0)
SPLIT = replace(RECORD, position=Position(Lsn(1000), Partial(Lsn(1500), 9, Lsn(1200), 0, 2, 10)))


def _kind(error: SidecarError | None) -> type[SidecarError] | None:
    return type(error) if error else None


def test_a_position_between_slot_and_end_of_the_wal_continues() -> None:
    seen = Continuity(RECORD, SOURCE)
    assert seen.mismatch is None
    assert seen.fault("print") is None
    assert seen.fault("another configuration") is None, "only a split transaction needs the old one"


@pytest.mark.parametrize("record", [None, replace(RECORD, position=None)], ids=["none", "intent"])
def test_without_a_position_there_is_nothing_to_contradict(record: PositionRecord | None) -> None:
    seen = Continuity(record, replace(SOURCE, slot=None, wal_end=Lsn(0)))
    assert seen.mismatch is None
    assert seen.fault("print") is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"system_identifier": "8"}, "system identifier"),
        ({"database": "other"}, "database"),
        ({"database_oid": 6}, "database"),
        ({"timeline": 3}, "timeline 3 left 2"),
    ],
    ids=["system", "database", "oid", "timeline"],
)
def test_another_source_is_named_by_what_differs(changed: dict[str, object], named: str) -> None:
    now = replace(SOURCE, identity=replace(IDENTITY, **changed))  # type: ignore[arg-type] # by name
    seen = Continuity(RECORD, now)
    assert isinstance(seen.mismatch, SourceChanged)
    assert named in seen.mismatch.fact
    assert _kind(seen.fault("print")) is SourceChanged


def test_another_slot_of_the_same_source_is_moved_to_by_a_command() -> None:
    seen = Continuity(RECORD, replace(SOURCE, identity=replace(IDENTITY, slot="other")))
    assert isinstance(seen.mismatch, PositionElsewhere)
    assert "position move-slot" in seen.mismatch.hint


@pytest.mark.parametrize(("forked", "continues"), [(999, False), (1000, True)])
def test_a_new_timeline_continues_where_it_forked_after_the_position(
    forked: int, *, continues: bool
) -> None:
    identity = replace(IDENTITY, timeline=3)
    seen = Continuity(RECORD, replace(SOURCE, identity=identity, history={2: Lsn(forked)}))
    assert (seen.mismatch is None) == continues


@pytest.mark.parametrize(
    ("slot", "fault"),
    [
        (None, SlotMissing),
        (replace(SLOT, wal_status="lost"), SlotLost),
        (replace(SLOT, plugin="test_decoding"), SlotUnfit),
        (replace(SLOT, confirmed_flush_lsn=Lsn(1001)), SlotAhead),
    ],
    ids=["missing", "lost", "unfit", "ahead"],
)
def test_a_slot_that_cannot_go_on_is_a_fault_and_no_mismatch(
    slot: SlotStatus | None, fault: type[SidecarError]
) -> None:
    seen = Continuity(RECORD, replace(SOURCE, slot=slot))
    assert seen.mismatch is None
    assert _kind(seen.fault("print")) is fault


def test_a_wal_that_ends_before_the_position_is_of_another_source() -> None:
    seen = Continuity(RECORD, replace(SOURCE, wal_end=Lsn(999)))
    assert _kind(seen.mismatch) is WalWentBack
    assert _kind(seen.fault("print")) is WalWentBack


def test_inside_a_split_transaction_configuration_and_publication_must_stay() -> None:
    seen = Continuity(SPLIT, SOURCE)
    assert seen.fault("print") is None
    assert _kind(seen.fault("another configuration")) is ConfigChangedInside
    other = replace(SOURCE, identity=replace(IDENTITY, publication="other"))
    assert _kind(Continuity(SPLIT, other).fault("print")) is ConfigChangedInside
    assert Continuity(RECORD, other).fault("print") is None

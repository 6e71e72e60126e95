"""Failpoints act at the specified point and time, and do nothing otherwise."""

from collections.abc import Iterator

import pytest

from cdc_sidecar import failpoints
from cdc_sidecar.errors import FailpointHit, FailpointInvalid
from cdc_sidecar.failpoints import Failpoint


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_nothing_is_armed_by_an_empty_specification() -> None:
    assert failpoints.arm("") == ()
    assert failpoints.arm(" , ,") == ()
    for point in Failpoint:
        failpoints.reach(point)


def test_an_armed_point_acts_once() -> None:
    assert failpoints.arm("before_commit=raise") == ("before_commit",)
    failpoints.reach(Failpoint.AFTER_COMMIT)
    with pytest.raises(FailpointHit, match="before_commit"):
        failpoints.reach(Failpoint.BEFORE_COMMIT)
    failpoints.reach(Failpoint.BEFORE_COMMIT)


def test_a_point_with_a_count_acts_when_it_is_reached_that_many_times() -> None:
    failpoints.arm("before_commit#3=raise")
    failpoints.reach(Failpoint.BEFORE_COMMIT)
    failpoints.reach(Failpoint.BEFORE_COMMIT)
    with pytest.raises(FailpointHit):
        failpoints.reach(Failpoint.BEFORE_COMMIT)


def test_several_points_are_armed_at_once_and_a_new_specification_disarms_them() -> None:
    names = failpoints.arm("after_claim=raise, before_produce#2=raise")
    assert names == ("after_claim", "before_produce")
    failpoints.arm("after_commit=raise")
    failpoints.reach(Failpoint.AFTER_CLAIM)


@pytest.mark.parametrize("point", list(Failpoint))
def test_every_point_can_be_armed(point: Failpoint) -> None:
    failpoints.arm(f"{point.value}=raise")
    with pytest.raises(FailpointHit, match=point.value):
        failpoints.reach(point)


@pytest.mark.parametrize(
    "specification",
    ["nowhere=raise", "before_commit=explode", "before_commit", "before_commit#x=raise",
     "before_commit#0=raise", "before_commit#-1=raise", "=raise", "before_commit=raise,oops"],
)  # fmt: skip
def test_a_specification_that_would_never_act_is_refused(specification: str) -> None:
    with pytest.raises(FailpointInvalid) as invalid:
        failpoints.arm(specification)
    assert "before_produce" in invalid.value.hint

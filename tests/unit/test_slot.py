"""The error of an invalidated slot names the server setting that it depends on."""

from dataclasses import replace

import pytest

from cdc_sidecar.errors import SlotLost
from tests.unit.test_watch import SLOT


@pytest.mark.parametrize(
    ("reason", "setting"),
    [
        ("wal_removed", "max_slot_wal_keep_size"),
        ("idle_timeout", "idle_replication_slot_timeout"),
        ("wal_level_insufficient", "wal_level"),
        ("rows_removed", "hot_standby_feedback"),
        (None, "max_slot_wal_keep_size"),
        ("a reason of version 19", "invalidated"),
    ],
)
def test_a_lost_slot_names_the_setting_behind_the_reason(reason: str | None, setting: str) -> None:
    lost = replace(SLOT, wal_status="lost", invalidation_reason=reason)
    with pytest.raises(SlotLost) as caught:
        lost.check("orders")
    assert (reason or "unknown") in caught.value.fact
    assert setting in caught.value.cause

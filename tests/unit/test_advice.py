"""Each warning of `check` has a stable name, and comes exactly where it is due."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import pytest
import structlog
from structlog.testing import capture_logs

from cdc_sidecar.checks.advice import (
    Advice,
    advise_on_server,
    advise_on_slot,
    advise_on_topics,
)
from cdc_sidecar.errors import ServerUnsupported
from cdc_sidecar.kafka.topic import Topic
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.server import SourceServer, check_version
from cdc_sidecar.postgres.slot import SlotStatus
from cdc_sidecar.postgres.surroundings import Surroundings
from cdc_sidecar.runtime.status import Status
from cdc_sidecar.runtime.status_board import StatusBoard
from cdc_sidecar.runtime.telemetry import Telemetry
from tests.unit.config_file import Loader

_SERVER: Final = SourceServer(
    version=180001,
    wal_level="logical",
    database="orders",
    database_oid=5,
    in_recovery=False,
    wal_sender_timeout=60.0,
    user="cdc",
    may_replicate=True,
    wal_end=Lsn(1),
    application_name="cdc-sidecar",
    synchronous_standby_names="",
    max_slot_wal_keep_size="10GB",
    free_slots=1,
    max_replication_slots=10,
)
_ALONE: Final = Surroundings(0.1, "", "", (), (), failover=False)
_WITH_STANDBY: Final = Surroundings(0.1, "", "s1", ("s1",), (), failover=True)
_SLOT: Final = SlotStatus(
    "orders", "pgoutput", "orders", active_pid=None, temporary=False, confirmed_flush_lsn=Lsn(1),
    wal_status="reserved", invalidation_reason=None, safe_wal_size=1, retained_bytes=1,
    confirmed_lag_bytes=1, inactive_since=None
)  # fmt: skip
_TOPIC: Final = Topic("orders.public.t", 1, 3, 1_048_588, "delete", 2, 1 << 30)


def _names(advice: Iterable[Advice]) -> list[str]:
    found = list(advice)
    assert all(each.fact and each.cause and each.hint for each in found)
    assert not any("{" in each.fact + each.hint for each in found)
    return [each.name for each in found]


@pytest.mark.parametrize(
    ("server", "around", "names"),
    [
        ({}, {}, []),
        ({"version": 190000}, {}, ["postgres_not_tested"]),
        ({"max_slot_wal_keep_size": "-1"}, {}, ["slot_without_limit"]),
        ({"wal_sender_timeout": 0.0}, {}, ["no_wal_sender_timeout"]),
        ({}, {"idle_slot_timeout": "1d"}, ["idle_slot_timeout"]),
        ({}, {"clock_difference": -1.5}, ["clock_difference"]),
    ],
)
def test_settings_of_the_server_are_warned_of(
    server: dict[str, object], around: dict[str, object], names: list[str]
) -> None:
    seen = replace(_SERVER, **server), replace(_ALONE, **around)  # type: ignore[arg-type] # fields
    assert _names(advise_on_server(*seen)) == names


@pytest.mark.parametrize(
    ("slot", "around", "names"),
    [
        ({}, _ALONE, []),
        ({"wal_status": "unreserved"}, _ALONE, ["slot_nearly_lost"]),
        ({}, _WITH_STANDBY, []),
        ({}, replace(_WITH_STANDBY, failover=False), ["slot_without_failover"]),
        ({}, replace(_WITH_STANDBY, synchronized_standby_slots=""), ["standbys_not_awaited"]),
        ({}, replace(_WITH_STANDBY, without_feedback=("s1",)), ["standby_without_feedback"]),
    ],
)
def test_what_threatens_the_slot_is_warned_of(
    slot: dict[str, str], around: Surroundings, names: list[str]
) -> None:
    seen = replace(_SLOT, **slot)  # type: ignore[arg-type] # names of fields
    assert _names(advise_on_slot(_SERVER, around, seen, "orders")) == names


@pytest.mark.parametrize(
    ("topic", "names"),
    [
        ({}, []),
        ({"replication_factor": 1, "min_insync_replicas": 1}, ["one_replica"]),
        ({"min_insync_replicas": 1}, ["one_insync_replica"]),
        ({"unclean_leader_election": True}, ["unclean_leader_election"]),
    ],
)
def test_settings_that_may_lose_records_are_warned_of(
    loader: Loader, topic: dict[str, int], names: list[str]
) -> None:
    topics = [_TOPIC, replace(_TOPIC, name="orders.public.u", **topic)]  # type: ignore[arg-type] # as above
    found = list(advise_on_topics(topics, loader.load("")))
    assert _names(found) == names
    assert all("orders.public.u" in each.fact for each in found)
    assert not any("orders.public.t" in each.fact for each in found)


def test_a_newer_server_is_no_reason_to_refuse_and_an_older_one_is() -> None:
    check_version(replace(_SERVER, version=190000))
    with pytest.raises(ServerUnsupported, match=r"PostgreSQL 13\.9 is too old"):
        check_version(replace(_SERVER, version=130009))


def test_the_log_of_run_says_once_that_the_version_was_not_tested() -> None:
    board = StatusBoard(Status("s", "slot", "id", "0", 0.0))
    telemetry = Telemetry(board, Metrics(), structlog.get_logger())
    newer = replace(_SERVER, version=190000)
    with capture_logs() as logged:
        for server in (_SERVER, newer, newer):
            telemetry.source_examined(server)
    (warning,) = (line for line in logged if line["log_level"] == "warning")
    assert warning["event"] == "postgres_not_tested"
    assert "PostgreSQL 19.0 is newer" in warning["fact"]

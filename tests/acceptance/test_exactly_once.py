"""Killed anywhere, the sidecar publishes each event once (I1–I5, B3, B10)."""

import pytest

from cdc_sidecar.failpoints import VARIABLE, Failpoint
from tests.acceptance.conftest import Service

_FIRST_START = {
    Failpoint.AFTER_TOPICS_CREATED,
    Failpoint.AFTER_SLOT_INTENT,
    Failpoint.AFTER_SLOT_CREATED,
}
_COPY_ROWS = 1500


def _write(service: Service, start: int) -> None:
    """Write one row, small transactions, a rollback, key changes, and rows that share an LSN."""
    service.sql(
        f"INSERT INTO items VALUES ({start}, 0, 'one')",
        f"INSERT INTO items SELECT n, n, 'many' FROM generate_series({start + 1}, {start + 5}) n",
        f"BEGIN; INSERT INTO items VALUES ({start + 6}, 0, 'never'); ROLLBACK",
        f"UPDATE items SET id = id + 500, n = -1 WHERE id = {start + 1}",
        f"DELETE FROM items WHERE id = {start + 2}",
        f"BEGIN; UPDATE items SET n = 7 WHERE id = {start}; SAVEPOINT a;"
        f" DELETE FROM items WHERE id = {start}; ROLLBACK TO a;"
        f" UPDATE items SET label = 'kept' WHERE id = {start}; COMMIT",
        f"INSERT INTO items SELECT n, n, 'copy'"
        f" FROM generate_series({start + 10000}, {start + 10000 + _COPY_ROWS - 1}) n",
    )


@pytest.mark.parametrize("failpoint", Failpoint, ids=lambda point: point.value)
def test_a_sidecar_killed_at_any_failpoint_publishes_each_event_once(
    service: Service, failpoint: Failpoint
) -> None:
    sidecar = service.sidecar
    if failpoint in _FIRST_START:
        sidecar.start(environment={VARIABLE: f"{failpoint.value}=kill"})
        assert sidecar.await_exit() == -9
        sidecar.start_and_stream()
        oracle = service.oracle()
        _write(service, 0)
    else:
        sidecar.start_and_stream()
        oracle = service.oracle()
        _write(service, 0)
        service.await_published()
        sidecar.kill()
        _write(service, 1_000_000)
        sidecar.start(environment={VARIABLE: f"{failpoint.value}=kill"})
        assert sidecar.await_exit() == -9, "the failpoint was never reached"
        _write(service, 2_000_000)
        sidecar.start_and_stream()
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") > _COPY_ROWS


def test_a_transaction_split_over_several_kafka_transactions_and_killed_inside_is_whole(
    service: Service,
) -> None:
    sidecar = service.sidecar
    small = {"CDC_SIDECAR__PUBLISH__SPLIT_AFTER": '"1ms"'}
    sidecar.start(environment=small)
    sidecar.await_phase("streaming")
    oracle = service.oracle()
    sidecar.kill()
    service.sql(
        "INSERT INTO items SELECT n, n, 'row ' || n FROM generate_series(1, 20000) n",
        "UPDATE items SET n = -n WHERE id <= 100",
    )
    for hit in ("after_commit#1", "before_commit#3", "after_produce#2"):
        sidecar.start(environment={**small, VARIABLE: f"{hit}=kill"})
        assert sidecar.await_exit() == -9
    sidecar.start(environment=small)
    sidecar.await_phase("streaming")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 20100
    assert len(sidecar.events("transaction_split")) >= 3


def test_a_long_transaction_is_one_kafka_transaction_and_hidden_until_it_ends(
    service: Service,
) -> None:
    sidecar = service.sidecar
    sidecar.start_and_stream()
    oracle = service.oracle()
    service.sql("INSERT INTO items SELECT n, n, 'row ' || n FROM generate_series(1, 30000) n")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 30000
    assert not sidecar.events("transaction_split")
    largest = max(event["bytes"] for event in sidecar.events("transaction_published"))
    assert largest > 5_000_000, "its parts were committed one by one"

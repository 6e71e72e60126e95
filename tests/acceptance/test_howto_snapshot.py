"""The how-to about snapshots works as it is written."""

from collections import Counter

import pytest

from tests.acceptance.howto import Operator, Page
from tests.waiting import await_true


@pytest.fixture
def operator(operator: Operator) -> Operator:
    """Return an operator who has followed the README, and whose table has rows."""
    operator.sql("INSERT INTO orders VALUES (1, 'new'), (2, 'paid')")
    return operator


def _start(operator: Operator) -> None:
    """Start the sidecar, and wait until it has sent what is due."""
    log = operator.sidecar.log_path
    done = len(operator.sidecar.events("snapshot_completed")) if log.exists() else 0
    operator.sidecar.start_and_stream()
    _await_snapshots(operator, done + 1)


def _sent(operator: Operator) -> Counter[str]:
    """Return how often each row came as `r`."""
    events = operator.json_lines(
        "cdc-sidecar tail public.orders --config orders.toml --from-beginning --timeout 3"
    )
    return Counter(str(event["key"]["id"]) for event in events if event["value"]["op"] == "r")


def test_a_table_is_sent_again_whole_and_in_part(operator: Operator) -> None:
    page = Page("snapshot-a-table")
    _start(operator)
    assert "public.orders: by pages" in operator.sh(page.take("sh", "--dry-run"))
    whole = "cdc-sidecar snapshot start public.orders --config"
    assert "public.orders will be sent" in operator.sh(page.take("sh", whole))
    _await_snapshots(operator, 2)
    operator.sh(page.take("sh", "--where"))
    _await_snapshots(operator, 3)
    assert "100%  done" in operator.sh(page.take("sh", "snapshot status"))
    await_true(lambda: _sent(operator) == {"1": 2, "2": 3}, what="rows were sent twice and thrice")
    operator.stop()
    _, _, changed = page.take("toml", "generation").partition('columns = ["*"]\n')
    operator.replace('name = "public.orders"', f'name = "public.orders"\n{changed}')
    _start(operator)
    await_true(lambda: _sent(operator) == {"1": 3, "2": 4}, what="each row was sent once more")


def test_a_snapshot_is_slowed_down_and_stopped_for_a_while(operator: Operator) -> None:
    page = Page("snapshot-a-table")
    rate, pause, resume = page.take("sh", "snapshot rate").splitlines()
    operator.sql("INSERT INTO orders SELECT n, 'new' FROM generate_series(10, 2000) n")
    operator.environment["CDC_SIDECAR__SNAPSHOT__MAX_ROWS_PER_SECOND"] = "100"
    operator.environment["CDC_SIDECAR__SNAPSHOT__CHUNK_ROWS"] = "50"
    operator.sidecar.start_and_stream()
    assert "is paused" in operator.sh(pause)
    assert "goes on" in operator.sh(resume)
    assert "has another limit" in operator.sh(rate)
    _await_snapshots(operator, 1)
    await_true(lambda: len(_sent(operator)) == 1993, what="all rows were sent")


def _await_snapshots(operator: Operator, count: int) -> None:
    await_true(
        lambda: len(operator.sidecar.events("snapshot_completed")) >= count, what="it is sent"
    )

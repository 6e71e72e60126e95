"""SIGHUP loads the configuration anew: what fits is used at once, and the rest is refused."""

import signal
from collections.abc import Callable

import pytest

from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.events import Oracle
from tests.acceptance.snapshot_oracle import assert_snapshot
from tests.acceptance.test_snapshot import INITIAL, ITEMS, await_snapshots
from tests.waiting import await_true

_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_MORE = '\n[[tables]]\nname = "public.more"\ncolumns = ["*"]\n'


def _hang_up(service: Service, event: str) -> dict[str, object]:
    """Send SIGHUP, wait for an event in the log, and return it."""
    before = len(service.sidecar.events(event))
    service.sidecar.process.send_signal(signal.SIGHUP)
    await_true(lambda: len(service.sidecar.events(event)) > before, what=event)
    return service.sidecar.events(event)[-1]


def _append(service: Service, text: str) -> None:
    config = service.sidecar.config
    config.write_text(config.read_text() + text)


@pytest.fixture
def running(make_service: Callable[..., Service]) -> Service:
    """Yield a service whose sidecar streams one table and has sent its rows."""
    service = make_service(MARKS + _ITEMS, **INITIAL)
    service.sql(ITEMS[0], "CREATE PUBLICATION cdc FOR TABLE items", "INSERT INTO items VALUES (1)")
    service.sidecar.start_and_stream()
    await_snapshots(service)
    return service


def _add_table(service: Service) -> Oracle:
    """Add table `more` with 700 rows, and wait until they are sent."""
    create = "CREATE TABLE more (id bigint PRIMARY KEY, n int)"
    service.sql(create, "ALTER PUBLICATION cdc ADD TABLE more")
    oracle = service.oracle()
    service.sql("INSERT INTO more SELECT n, n FROM generate_series(1, 700) n")
    _append(service, _MORE)
    _hang_up(service, "configuration_loaded")
    await_snapshots(service, tables=2)
    return oracle


def test_a_table_is_added_with_its_rows_and_sent_again_while_the_others_flow(
    running: Service,
) -> None:
    service = running
    oracle = _add_table(service)
    service.sql("INSERT INTO items VALUES (2)", "UPDATE more SET n = 0 WHERE id < 10")
    service.await_published()
    seen = assert_snapshot(service, oracle, "more")
    assert [event.snapshot for event in seen if event.op == "r"] == ["incremental"] * 700
    service.reconfigure('"public.more"\n', '"public.more"\ngeneration = 2\n')
    _hang_up(service, "configuration_loaded")
    await_snapshots(service, tables=3)
    service.await_published()
    again = assert_snapshot(service, oracle, "more")
    assert sum(event.op == "r" for event in again) == 1400
    assert not service.sidecar.events("session_ended")


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ('publication = "cdc"', 'publication = "other"', "CDC-107", "postgres.publication"),
        ('"public.items"', '"public.itmes"', "CDC-208", "public.itmes"),
        ("[snapshot]", "[snapshot", "CDC-101", ""),
        ("chunk_rows = 200", "chunk_rows = 0", "CDC-102", "chunk_rows"),
    ],
    ids=["needs a restart", "does not fit the database", "not TOML", "not valid"],
)
def test_a_configuration_that_cannot_be_used_is_refused_and_the_old_one_stays(
    running: Service, old: str, new: str, code: str, words: str
) -> None:
    running.reconfigure(old, new)
    refused = _hang_up(running, "configuration_refused")
    assert refused["code"] == code
    assert words in str(refused["fact"])
    running.sql("INSERT INTO items VALUES (2)")
    running.await_published()
    assert len(running.sidecar.events("stream_started")) == 1
    running.reconfigure(new, old)
    _hang_up(running, "configuration_unchanged")


def test_the_level_of_the_log_changes(running: Service) -> None:
    running.reconfigure('level = "debug"', 'level = "warning"')
    _hang_up(running, "configuration_loaded")
    published = len(running.sidecar.events("transaction_published"))
    running.sql("INSERT INTO items VALUES (3)")
    running.await_published()
    assert len(running.sidecar.events("transaction_published")) == published

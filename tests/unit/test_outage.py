"""The log says once that a server went away, and for how long; a minute has one line."""

import json
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from cdc_sidecar.config.process import Http
from cdc_sidecar.errors import PostgresUnavailable, SidecarError, SlotBusy, TransactionFailed
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.capture import PARTS_KEPT, Capture
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.position import Position
from cdc_sidecar.kafka import reason as reason_module
from cdc_sidecar.kafka.last_run import LastRun, RunState, decode_last_run
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity, decode_position
from cdc_sidecar.kafka.reason import Reason, last_reason
from cdc_sidecar.logs import get_logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime import minute as module
from cdc_sidecar.runtime.backlog import Backlog
from cdc_sidecar.runtime.changes import changed_keys, changed_settings
from cdc_sidecar.runtime.minute import Minute
from cdc_sidecar.runtime.open_transaction import OpenTransaction
from cdc_sidecar.runtime.status import Status
from cdc_sidecar.runtime.status_board import StatusBoard
from cdc_sidecar.runtime.telemetry import Telemetry
from tests.unit.config_file import Loader

RECORD = PositionRecord(
    SourceIdentity("1", 1, "db", 5, "slot", "publication"), Position(Lsn(1)), 0, "f", "test", 0
)


_REFUSED = KafkaError(KafkaError._TRANSPORT, "connection refused")  # noqa: SLF001 - as in kafka


def _telemetry(minute: Minute | None = None) -> Telemetry:
    board = StatusBoard(Status("s", "slot", "id", "0", 0.0, kafka_reachable=True))
    return Telemetry(board, Metrics(), get_logger(), minute=minute)


def _commit(telemetry: Telemetry, *, events: int = 0) -> None:
    batch = Batch(Position(Lsn(2)), transactions=1)
    batch.counts[Count(Counted.EVENTS, "public.items", "c")] = events
    telemetry.transaction_committed(OpenTransaction(0.0, batch, alone=False), RECORD, 0.0, 0)


def test_an_outage_of_kafka_has_one_line_at_its_begin_with_the_reason_and_one_at_its_end() -> None:
    Reason({}).note_error(_REFUSED)
    telemetry = _telemetry()
    with capture_logs() as logged:
        for seconds in (4.0, 5.0):
            telemetry.brokers_slow(seconds)
            telemetry.brokers_away()
        telemetry.of_session(2).brokers_away()
        telemetry.of_session(2).brokers_reached()
        _commit(telemetry)
    lines = [line for line in logged if line["event"].startswith("kafka_")]
    assert [line["event"] for line in lines] == ["kafka_went_away", "kafka_returned"]
    assert lines[0]["reason"] == "connection refused"
    assert lines[1]["away_seconds"] >= 0


def test_an_old_reason_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    Reason({}).note_error(_REFUSED)
    assert last_reason() == "connection refused"
    monkeypatch.setattr(reason_module, "FRESH", 0.0)
    assert last_reason() is None


def test_an_outage_of_postgres_has_two_lines_as_well() -> None:
    telemetry = _telemetry()
    with capture_logs() as logged:
        telemetry.postgres_reached()
        for _ in range(3):
            _end_session(telemetry, PostgresUnavailable("connection refused"))
        telemetry.postgres_reached()
    assert [line["event"] for line in logged] == ["postgres_went_away", "postgres_returned"]
    assert (logged[0]["reason"], logged[0]["host"]) == ("connection refused", "host=db")
    assert "retry_in_seconds" in logged[0]


def _end_session(telemetry: Telemetry, error: SidecarError) -> None:
    telemetry.session_ended(error, host="host=db", retry=30.0)


def test_a_long_outage_of_postgres_has_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry, clock = _telemetry(), _Clock(monkeypatch)
    with capture_logs() as logged:
        for _ in range(8):
            _end_session(telemetry, PostgresUnavailable("connection refused"))
            clock.now += 30.0
        telemetry.postgres_reached()
    lines = [(line["event"], line.get("away_seconds")) for line in logged]
    assert lines == [
        ("postgres_went_away", None),
        *(("postgres_still_away", seconds) for seconds in (60.0, 120.0, 180.0)),
        ("postgres_returned", 240.0),
    ]


def test_sessions_that_end_with_one_error_have_a_line_at_once_and_then_one_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    telemetry, clock = _telemetry(), _Clock(monkeypatch)
    busy, other = SlotBusy("active for PID 7"), TransactionFailed("aborted")
    with capture_logs() as logged:
        for error in (busy, busy, busy, busy, other, busy):
            _end_session(telemetry, error)
            clock.now += 30.0
        telemetry.stream_began(Backlog())
        _end_session(telemetry, busy)
    lines = [(line["code"], line.get("failing_for_seconds")) for line in logged]
    assert lines == [
        ("CDC-203", None),
        ("CDC-203", 60.0),
        ("CDC-406", None),
        *2 * [("CDC-203", None)],
    ]


class _Clock:
    """The clock of outages, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("cdc_sidecar.runtime.outage.time.monotonic", lambda: self.now)


def test_a_minute_has_one_line_with_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = _telemetry(Minute())
    with capture_logs() as logged:
        for events in (3, 4):
            _commit(telemetry, events=events)
            telemetry.minute_passed()
            monkeypatch.setattr(module, "MINUTE", 0.0)
        _commit(telemetry, events=5)
        telemetry.minute_passed()
    lines = [line for line in logged if line["event"] == "minute_passed"]
    assert [(line["events"], line["transactions"]) for line in lines] == [(7, 2), (5, 1)]


def test_the_parts_of_a_configuration_say_what_changed(loader: Loader) -> None:
    before = Capture.of(loader.load('[[outboxes]]\ntable = "public.outbox"\n')).parts
    changed = '[tables.column.email]\nmask = "hash"\n[messages]\nprefixes = ["audit"]\n'
    now = Capture.of(loader.load(changed)).parts
    assert changed_keys(before, now) == {
        "added": ["messages.prefixes"],
        "removed": ["outboxes.public.outbox"],
        "changed": ["tables.public.orders"],
    }
    assert changed_keys({}, now) == {}


def test_the_settings_of_a_changed_table_are_named_with_both_values(loader: Loader) -> None:
    before = Capture.of(loader.load("")).settings["tables.public.orders"]
    assert isinstance(before, dict)
    now = {**before, "columns": ["id", "email"], "column": {"email": {"mask": "hash"}}}
    assert changed_settings("tables.public.orders", before, now) == [
        'tables.public.orders.column.email.mask: unset -> "hash"',
        'tables.public.orders.columns: ["*"] -> ["id", "email"]',
    ]


def test_a_run_keeps_its_settings_and_status_does_not_show_them() -> None:
    settings = {"messages.prefixes": ["audit"]}
    run = replace(LastRun.now(RunState.STOPPED, "0"), fingerprint="f", settings=settings)
    assert decode_last_run(run.encode()) == run
    assert not {"fingerprint", "settings"} & run.as_json().keys()
    many = replace(run, settings={"messages.prefixes": ["x" * 200_000]})
    assert decode_last_run(many.encode()) == replace(run, settings={})
    older = json.dumps(run.as_json()).encode()
    assert decode_last_run(older) == replace(run, fingerprint="", settings={})


def test_a_position_keeps_the_parts_of_its_configuration_and_needs_none() -> None:
    written = replace(RECORD, parts={"service.name": "0f1a4c"})
    assert decode_position(written.encode()).parts == written.parts
    assert "configuration" not in json.loads(RECORD.encode())
    assert decode_position(RECORD.encode()).parts == {}


def test_a_configuration_of_very_many_tables_keeps_no_parts(loader: Loader) -> None:
    table = '[[tables]]\nname = "public.t{}"\ncolumns = ["*"]\n'
    many = "".join(table.format(number) for number in range(PARTS_KEPT))
    assert Capture.of(loader.load(many)).parts == {}


@pytest.mark.parametrize(
    ("listen", "page"),
    [
        ("0.0.0.0:9464", "http://127.0.0.1:7/"),
        ("[::]:9464", "http://[::1]:7/"),
        ("localhost:0", "http://localhost:7/"),
    ],
)
def test_the_status_page_has_an_address_that_can_be_opened(listen: str, page: str) -> None:
    assert Http(listen=listen).page(7) == page

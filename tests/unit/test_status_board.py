"""What the status board remembers: curves, tables, links, sessions, and the configuration."""

import json
import math
import sys
from dataclasses import replace
from typing import Final

import pytest

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.shown import HIDDEN, shown_config
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.position import Position
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime import activity as module
from cdc_sidecar.runtime.activity import Activity, Origin
from cdc_sidecar.runtime.history import KEPT, SERIES, STEP, History
from cdc_sidecar.runtime.latencies import SLOTS, Latencies
from cdc_sidecar.runtime.status import Phase
from cdc_sidecar.runtime.status_board import StatusBoard
from tests.unit.config_file import Loader
from tests.unit.serving import new_board
from tests.unit.test_watch import SLOT

_SECRETIVE: Final = """
[http]
username = "operator"
password = { env = "HTTP_PASSWORD" }
[kafka.client]
"sasl.password" = "kafka secret"
[topics.config]
"x.token" = { env = "TOKEN" }
"retention.ms" = "5"
[tracing]
otlp_endpoint = "https://user:secret@collector:4318/"
[[outboxes]]
prefix = { env = "PREFIX" }
"""
"""Keys with secrets, and with strings from variables."""


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _batch(counts: dict[tuple[str, str], int], kind: Counted = Counted.EVENTS) -> Batch:
    named = {Count(kind, table, detail): count for (table, detail), count in counts.items()}
    return Batch(Position(Lsn(1)), counts=named)


def _table(name: str) -> Origin:
    return Origin(name, "table", f"orders.{name}")


def test_quantiles_are_within_a_twentieth_and_forget_old_periods() -> None:
    latencies = Latencies()
    assert latencies.last(0.5) == [None]
    latencies.add(0.008, 990)
    latencies.add(0.2, 10)
    p50, p99, p995 = latencies.last(0.5, 0.99, 0.995)
    assert p50 == p99 == pytest.approx(0.008, rel=0.05)
    assert p995 == pytest.approx(0.2, rel=0.05)
    latencies.add(0.0, 1)
    latencies.add(1e9, 1)
    for _ in range(SLOTS - 1):
        latencies.turn()
        assert latencies.recent(0.5) == [p50]
    latencies.turn()
    assert latencies.recent(0.5, 0.99) == [None, None]


def test_the_history_keeps_fifteen_minutes_and_shows_gaps() -> None:
    clock = _Clock()
    history = History(clock)
    assert not history.due()
    for sample in range(KEPT + 5):
        clock.now += STEP
        assert history.due() == STEP
        history.add(dict.fromkeys(SERIES, float(sample)))
    shown = history.as_json()
    assert len(shown["lag_seconds"]) == KEPT
    assert shown["lag_seconds"][-1] == KEPT + 4
    clock.now += 4 * STEP
    history.add({"lag_seconds": 1.0})
    shown = history.as_json()
    assert shown["lag_seconds"][-5:] == [KEPT + 4, None, None, None, 1.0]
    assert shown["p99_seconds"][-1] is None
    assert {len(shown[name]) for name in SERIES} == {KEPT}
    samples = history._samples.values()  # noqa: SLF001 - their size is what is promised
    assert sum(map(sys.getsizeof, samples)) < 10_000


def test_a_sample_has_the_rates_since_the_one_before_it() -> None:
    clock, board = _Clock(), new_board()
    board.history = History(clock)
    board.activity.expect([_table("public.a")])
    board.activity.committed(replace(_batch({("public.a", "c"): 50}), size=1000), 0.0)
    board.sample()
    assert board.history.as_json()["lag_seconds"] == []
    for _ in range(2):
        clock.now += STEP
        board.sample()
    shown = board.as_json()["history"]
    assert shown["events_per_second"] == [50 / STEP, 0]
    assert shown["bytes_per_second"] == [1000 / STEP, 0]


def test_tables_are_listed_most_active_first_and_only_a_hundred_of_them() -> None:
    clock = _Clock()
    activity = Activity(clock)
    activity.expect(_table(f"public.t{number:04}") for number in range(1000))
    clock.now += 60
    activity.committed(_batch({("public.t0700", "c"): 6, ("public.t0700", "u"): 1}), 5.0)
    activity.committed(_batch({("public.t0001", "c"): 600, ("public.gone", "c"): 1}), 6.0)
    shown = activity.as_json()
    assert shown["total"] == 1000
    assert len(shown["shown"]) == module.SHOWN
    first, second, third, *_ = shown["shown"]
    assert (first["name"], first["last_event_at"]) == ("public.t0001", 6.0)
    assert first["events_per_second"] == pytest.approx(600 / 60, rel=0.2)
    assert (second["name"], second["counts"]) == ("public.t0700", {"c": 6, "u": 1})
    assert (third["name"], third["last_event_at"]) == ("public.t0000", None)
    assert activity.events == 608
    clock.now += 70
    assert activity.as_json()["shown"][0]["events_per_second"] == 0


def test_event_types_of_an_outbox_are_bounded_and_counts_outlive_a_session() -> None:
    activity = Activity()
    outbox = Origin("public.outbox", "outbox", "outbox.event.{aggregatetype}")
    activity.expect([outbox, _table("public.a")])
    for number in range(50):
        activity.committed(_batch({("public.outbox", f"T{number}"): 1}, Counted.OUTBOX_EVENTS), 1.0)
    activity.expect([outbox])
    (shown,) = activity.as_json()["shown"]
    assert sum(shown["counts"].values()) == 50
    assert len(shown["counts"]) == 21
    assert shown["counts"]["other"] == 30


def _links(board: StatusBoard) -> dict[str, tuple[str, str | None]]:
    links = board.as_json()["links"]
    return {name: (link["state"], link["reason"]) for name, link in links.items()}


def test_the_links_say_how_postgres_and_kafka_are_since_when_and_why() -> None:
    board = new_board()
    assert _links(board) == {"postgres": ("unknown", None), "kafka": ("unknown", None)}
    board.update(kafka_reachable=False, kafka_reason="connection refused", error="waits")
    assert _links(board)["kafka"] == ("away", "connection refused")
    board.update(phase=Phase.STREAMING, kafka_reachable=True, error=None)
    assert _links(board) == {"postgres": ("connected", None), "kafka": ("connected", None)}


def test_a_link_that_broke_says_why_until_it_is_there_again() -> None:
    board = new_board()
    board.update(phase=Phase.STREAMING, kafka_reachable=True)
    since = board.as_json()["links"]["kafka"]["since"]
    board.update(position=5)
    assert board.as_json()["links"]["kafka"]["since"] == since
    board.update(error="CDC-201 Postgres is not available: x\n  hint: y", error_code="CDC-201")
    board.update(phase=Phase.BACKING_OFF)
    assert _links(board)["postgres"] == ("away", "CDC-201 Postgres is not available: x")
    board.update(slot=SLOT, slot_seen_at=5.0)
    assert _links(board)["postgres"] == ("connected", None)
    board.update(phase=Phase.WAITING, error=None, error_code="")
    assert _links(board)["kafka"] == ("unused", None)


def test_sessions_that_fail_alike_are_one_entry() -> None:
    board = new_board()
    for number in (1, 2, 3):
        board.update(phase=Phase.STARTING, session=number)
        board.update(error="CDC-201 t: f\n  hint: h", error_code="CDC-201")
        board.update(phase=Phase.BACKING_OFF)
        board.update(error=None, error_code="")
    board.update(phase=Phase.STARTING, session=4)
    board.update(phase=Phase.STREAMING)
    present, failed = board.as_json()["sessions"]
    assert (present["number"], present["ended_at"]) == (4, None)
    assert present["streamed_at"]
    assert (failed["number"], failed["repeated"]) == (3, 3)
    assert (failed["error_code"], failed["error"]) == ("CDC-201", "CDC-201 t: f")


def test_outages_have_a_beginning_and_an_end_and_old_sessions_are_forgotten() -> None:
    board = new_board()
    board.update(phase=Phase.STARTING, session=4)
    board.update(phase=Phase.STREAMING, kafka_reachable=True)
    board.update(kafka_reachable=False, kafka_reason="timed out")
    board.update(kafka_reachable=True)
    (outage,) = board.as_json()["kafka_outages"]
    assert outage["reason"] == "timed out"
    assert outage["ended_at"] >= outage["began_at"]
    board.update(phase=Phase.STOPPED)
    assert board.as_json()["sessions"][0]["error_code"] is None
    for number in range(5, 200):
        board.update(phase=Phase.STARTING, session=number)
    assert len(board.as_json()["sessions"]) == 50


def test_the_status_is_json_without_infinite_numbers() -> None:
    board = new_board()
    board.sample()
    body = json.dumps(board.as_json(), allow_nan=False)
    assert math.isfinite(json.loads(body)["lag_seconds"])


def test_the_configuration_is_shown_without_a_secret_or_anything_from_a_secret_file(
    loader: Loader,
) -> None:
    environment = {"HTTP_PASSWORD": "http secret", "TOKEN": "token secret", "PREFIX": "pre secret"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        loader.load(_SECRETIVE)
        shown = shown_config(load_config(loader.path, {}))
    assert "secret" not in json.dumps(shown)
    assert shown["postgres"]["dsn"] == shown["http"]["username"] == HIDDEN
    assert shown["http"]["password"] == {"env": "HTTP_PASSWORD"}
    assert shown["topics"]["config"] == {"x.token": HIDDEN, "retention.ms": "5"}
    assert shown["outboxes"] == [{"prefix": HIDDEN}]
    assert shown["tracing"]["otlp_endpoint"] == f"https://{HIDDEN}@collector:4318/v1/traces"
    assert shown["tables"] == [{"name": "public.orders", "columns": ["*"]}]
    assert shown["shutdown"] == {"grace": 25.0, "on_halt": "exit"}


def test_references_change_nothing_else_of_a_configuration(loader: Loader) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERS", "kafka:9092")
        path = loader.path
        loader.load()
        plain = load_config(path, {})
        path.write_text(path.read_text().replace('"kafka:9092"', '{ env = "BROKERS" }'))
        referring = load_config(path, {})
    assert referring.kafka == plain.kafka
    assert Capture.of(referring).fingerprint == Capture.of(plain).fingerprint
    assert shown_config(referring)["kafka"]["bootstrap_servers"] == HIDDEN

"""The log never raises, never makes a thread wait, and counts what it drops."""

import json
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from cdc_sidecar import logs
from cdc_sidecar.config.process import Log
from cdc_sidecar.log_limit import LINES, WINDOW, Limiter
from cdc_sidecar.log_writer import QUEUE, RESERVE, Event, LogWriter
from tests.waiting import await_true


class Unprintable:
    """A fact that cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError


class Pipe:
    """A pipe and the writer of a log into it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.log = LogWriter(self.writing, lambda event: json.dumps(event, default=repr), _summary)

    def close(self) -> None:
        """Close both ends; the writer's thread writes nothing more."""
        assert self.log.flush(10)
        for descriptor in (self.reading, self.writing):
            os.close(descriptor)

    def read(self, count: int) -> list[Event]:
        """Read lines."""
        data = b""
        while data.count(b"\n") < count:
            data += os.read(self.reading, 1_000_000)
        return [json.loads(line) for line in data.splitlines()]


def _summary(count: int) -> Event:
    return {"event": "log_lines_dropped", "count": count}


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Yield a pipe."""
    pipe = Pipe()
    yield pipe
    pipe.close()


def _block(pipe: Pipe) -> None:
    """Let the thread of the log stand in a write."""
    pipe.log.put({"event": "x" * 1_000_000})
    await_true(pipe.log._queue.empty, what="the thread writes")  # noqa: SLF001 - no other sign


def test_lines_beyond_the_bound_are_dropped_counted_and_reported(pipe: Pipe) -> None:
    _block(pipe)
    for number in range(QUEUE + 10):
        pipe.log.put({"event": "e", "level": "info", "n": number})
    assert pipe.log.dropped == 10
    lines = pipe.read(QUEUE + 2)
    assert [line.get("n") for line in lines[1:-1]] == list(range(QUEUE))
    assert lines[-1] == _summary(10)


def test_errors_have_room_of_their_own(pipe: Pipe) -> None:
    _block(pipe)
    for level in ("info", "error"):
        for _ in range(QUEUE + RESERVE):
            pipe.log.put({"event": level, "level": level})
    assert pipe.log.dropped == QUEUE + RESERVE
    assert [line["event"] for line in pipe.read(QUEUE + RESERVE + 2)].count("error") == RESERVE


def test_a_flush_does_not_wait_for_a_reader_that_reads_nothing(pipe: Pipe) -> None:
    _block(pipe)
    assert not pipe.log.flush(0.01)
    pipe.read(1)


def test_a_line_that_cannot_be_rendered_is_dropped_and_the_next_one_is_written(pipe: Pipe) -> None:
    pipe.log.put({"event": "bad", "fact": Unprintable()})
    pipe.log.put({"event": "good", "text": "\udc80"})
    assert [line["event"] for line in pipe.read(2)] == ["good", "log_lines_dropped"]
    assert pipe.log.dropped == 1


def test_the_rest_of_a_torn_line_does_not_spoil_the_next_one(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    steps = iter((4, OSError(28, "No space left on device")))

    def write_little(descriptor: int, data: bytes) -> int:
        step: int | OSError = next(steps, len(data))
        if isinstance(step, OSError):
            raise step
        return write(descriptor, data[:step])

    monkeypatch.setattr(os, "write", write_little)
    pipe.log.put({"event": "torn"})
    pipe.log.put({"event": "whole"})
    assert pipe.log.flush(10)
    torn, whole, summary = os.read(pipe.reading, 1000).splitlines()
    assert torn == b'{"ev'
    assert json.loads(whole)["event"] == "whole"
    assert json.loads(summary)["count"] == 1


def test_only_the_first_lines_of_a_library_pass_in_a_minute_and_the_others_are_counted() -> None:
    limiter = Limiter()
    passed = [limiter.admit("librdkafka", 100.0 + n)[0] for n in range(LINES + 7)]
    assert passed == [True] * LINES + [False] * 7
    assert limiter.admit("psycopg", 101.0) == (True, 0)
    assert limiter.admit("librdkafka", 100.0 + WINDOW) == (True, 7)
    assert limiter.admit("librdkafka", 101.0 + WINDOW) == (True, 0)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Configure the log with a pipe as standard error; yield its other end."""
    reading, writing = os.pipe()
    monkeypatch.setattr(logs, "_STDERR", writing)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure_logging(Log())
    yield reading
    logs.flush_log()
    logging.captureWarnings(False)  # noqa: FBT003 - its only parameter
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    for descriptor in (reading, writing):
        os.close(descriptor)


def _log(library: str, **record: object) -> None:
    """Log as a library does, past the handlers of pytest."""
    for name in (library, None):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logs._Bridge):  # noqa: SLF001 - the one under test
                handler.handle(logging.makeLogRecord({"name": library, **record}))
                return


def test_a_librarys_line_whose_arguments_do_not_fit_raises_nothing(configured: int) -> None:
    _log("librdkafka", msg="%d lines", args=("many",), levelno=logging.ERROR)
    _log("some.library", msg="attention", levelno=logging.WARNING)
    logs.flush_log()
    lines = [json.loads(line) for line in os.read(configured, 10_000).splitlines()]
    assert [(line["library"], line["message"]) for line in lines] == [
        ("librdkafka", "%d lines"),
        ("some.library", "attention"),
    ]
    assert list(lines[0])[:3] == ["timestamp", "level", "event"]


def test_an_exception_that_no_code_can_receive_is_logged_without_its_message(
    configured: int,
) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("canary")

    Failing()
    logs.flush_log()
    text = os.read(configured, 10_000).decode()
    assert '"exception_ignored"' in text
    assert "ValueError" in text
    assert "canary" not in text

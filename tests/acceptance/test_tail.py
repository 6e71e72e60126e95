"""`tail` is readable on a terminal and JSON in a pipe, and finds topics by the names of tables."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.brokers import remove_topics
from tests.acceptance.conftest import TABLES, Service
from tests.waiting import await_true

_OUTBOX = '[[outboxes]]\ntable = "public.outbox"\n'
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A command on a terminal of 200 columns, and what it has printed there so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._printed = b""
        os.set_blocking(descriptor, False)

    def text(self) -> str:
        """Return everything that was printed so far."""
        try:
            while more := os.read(self._descriptor, 65536):
                self._printed += more
        except (BlockingIOError, OSError):
            pass
        return self._printed.decode()

    def await_text(self, part: str) -> str:
        """Wait until a text was printed; return everything without colours."""
        await_true(lambda: part in _COLOURS.sub("", self.text()), what=f"{part} in {self.text()}")
        return _COLOURS.sub("", self.text())


@contextmanager
def _on_terminal(service: Service, *words: str, **environment: str) -> Iterator[Terminal]:
    """Run `tail` on a terminal; kill it at the end of the block."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cdc_sidecar", "tail", "-c", str(service.sidecar.config)]
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [*command, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**plain, "TERM": "xterm", "COLUMNS": "200", **environment},
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """Return a service whose sidecar streams a table with old rows, and an outbox."""
    made = make_service(TABLES + _OUTBOX)
    made.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "ALTER TABLE items REPLICA IDENTITY FULL",
        "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text,"
        " type text, payload jsonb)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    made.sidecar.start_and_stream()
    return made


def test_a_person_sees_one_readable_line_for_each_event(service: Service) -> None:
    with _on_terminal(service, "public.items") as terminal:
        terminal.await_text(f"waiting for the next event of {service.name}.public.items")
        service.sql(
            "INSERT INTO items VALUES (7, NULL, E'new\\x1b[31m')",
            "UPDATE items SET n = 3",
            "DELETE FROM items",
        )
        printed = terminal.await_text("tombstone")
        raw = terminal.text()
    lines = [line.rstrip() for line in printed.splitlines()[1:]]
    assert [line[13:] for line in lines] == [
        r'insert    public.items id=7 label="new\u001b[31m"',
        "update    public.items id=7 n=null→3",
        "delete    public.items id=7",
        f"tombstone {service.name}.public.items id=7",
    ]
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} ", line) for line in lines)
    assert "\x1b[32minsert" in raw
    with _on_terminal(service, "items", "--from-beginning", NO_COLOR="1") as terminal:
        terminal.await_text("tombstone")
        assert "\x1b" not in terminal.text()
    with _on_terminal(service, "items", "--from-beginning", "--json") as terminal:
        assert '"op": "d"' in terminal.await_text('"op": "d"')
    with _on_terminal(service, "items", "--from-beginning", COLUMNS="40") as terminal:
        assert "…" in terminal.await_text("…")


def _tail(service: Service, *words: str, status: int = 0) -> tuple[list[str], str]:
    run = service.sidecar.run("tail", *words, "--from-beginning", "--timeout", "15")
    assert run.returncode == status, run.stderr
    assert "Traceback" not in run.stderr
    return run.stdout.splitlines(), run.stderr


def test_topics_are_found_by_the_names_of_tables_and_outboxes(service: Service) -> None:
    remove_topics(service.kafka, "outbox.event.")
    service.sql(
        "INSERT INTO items VALUES (1, 1, 'ä')",
        "INSERT INTO outbox VALUES (gen_random_uuid(), 'order', '5', 'OrderPaid', '{\"a\": 1}')",
    )
    assert len(_tail(service, "-n", "2")[0]) == 2
    topic = f"{service.name}.public.items"
    for name in (topic, "public.items", "items", "public.it*"):
        lines, announced = _tail(service, name, "-n", "1")
        assert [json.loads(line)["topic"] for line in lines] == [topic]
        assert json.loads(lines[0])["value"]["after"]["label"] == "ä"
        assert f"reading {topic} from the beginning" in announced
    for name in ("outbox.event.order", "public.outbox", "outbox"):
        (line,) = _tail(service, name, "-n", "1")[0]
        assert json.loads(line)["headers"]["type"] == "OrderPaid"
    _, error = _tail(service, "public.itms", status=3)
    assert "CDC-404" in error
    assert "did you mean" in error


def test_tail_waits_for_a_topic_that_does_not_exist_yet(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES)
    service.sql("CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR ALL TABLES")
    with _on_terminal(service) as terminal:
        terminal.await_text("has no topic yet; waiting for one")
        service.sidecar.start_and_stream()
        service.sql("INSERT INTO items VALUES (42)")
        assert "insert    public.items id=42" in terminal.await_text("id=42")

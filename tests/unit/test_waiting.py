"""Writing to the replication connection waits for both directions, and always has a deadline."""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from psycopg import pq
from psycopg.pq.abc import PGresult
from psycopg.waiting import Wait

from cdc_sidecar.postgres import exchange
from cdc_sidecar.postgres.waiting import SocketWaiter, Step, T
from tests.unit.libpq import Wire, fill, pair

_MESSAGE = b"status"
_BOUND = 0.1  # seconds in which a step must give up


@pytest.fixture
def ends() -> Iterator[tuple[Wire, Wire]]:
    """Yield both ends of a connection."""
    ours, theirs = pair()
    with ours.socket, theirs.socket:
        yield ours, theirs


def _run(wire: Wire, step: Step[T], seconds: float = 30.0) -> T:
    return SocketWaiter(wire.socket.fileno()).run(step, time.monotonic() + seconds)


def test_a_message_that_libpq_did_not_accept_is_offered_again(ends: tuple[Wire, Wire]) -> None:
    ours, theirs = ends
    ours.refusals = 1
    _run(ours, exchange.send_copy_data(ours, _MESSAGE))
    assert theirs.socket.recv(100) == _MESSAGE


def test_input_is_read_while_a_message_waits_to_be_written(ends: tuple[Wire, Wire]) -> None:
    ours, theirs = ends
    fill(ours)
    theirs.socket.send(b"row")

    class Server(Wire):
        """Reads again as soon as we have read its row."""

        def consume_input(self) -> None:
            super().consume_input()
            _read_all(theirs.socket)

    blocked = Server(ours.socket)
    _run(blocked, exchange.send_copy_data(blocked, _MESSAGE))
    assert blocked.received == b"row"
    assert _read_all(theirs.socket) == _MESSAGE


def test_two_sides_that_both_write_more_than_the_buffers_hold_both_finish(
    ends: tuple[Wire, Wire],
) -> None:
    sides = [threading.Thread(target=_run, args=(end, _swap(end, 4_000_000))) for end in ends]
    for side in sides:
        side.start()
    for side in sides:
        side.join(30)
    assert [len(end.received) for end in ends] == [4_000_000, 4_000_000]


def _swap(wire: Wire, size: int) -> Step[None]:
    """Send a message, then read until one of the same size has arrived."""
    yield from exchange.send_copy_data(wire, bytes(size))
    while len(wire.received) < size:
        yield Wait.R
        wire.consume_input()


def test_a_step_gives_up_at_its_deadline_where_neither_side_moves(ends: tuple[Wire, Wire]) -> None:
    ours, _ = ends
    fill(ours)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        _run(ours, exchange.send_copy_data(ours, _MESSAGE), _BOUND)
    assert _BOUND <= time.monotonic() - began < 10 * _BOUND


def test_input_that_never_ends_does_not_put_the_deadline_off(ends: tuple[Wire, Wire]) -> None:
    ours, theirs = ends
    fill(ours)

    class Server(Wire):
        """Sends more after each read of ours, and never reads."""

        def consume_input(self) -> None:
            super().consume_input()
            theirs.socket.send(b"row")

    theirs.socket.send(b"row")
    blocked = Server(ours.socket)
    with pytest.raises(TimeoutError):
        _run(blocked, exchange.send_copy_data(blocked, _MESSAGE), _BOUND)
    assert blocked.received


def test_a_message_that_was_given_up_is_sent_once_and_before_the_next(
    ends: tuple[Wire, Wire],
) -> None:
    ours, theirs = ends
    fill(ours)
    for message in (b"first", b"second", b"third"):
        with pytest.raises(TimeoutError):
            _run(ours, exchange.send_copy_data(ours, message), 0)
    assert ours.queue == b"first", "no more than one message waits"
    _read_all(theirs.socket)
    _run(ours, exchange.send_copy_data(ours, b"fourth"))
    assert _read_all(theirs.socket) == b"firstfourth"


def test_a_step_that_was_asked_to_stop_gives_up_before_its_deadline(
    ends: tuple[Wire, Wire],
) -> None:
    ours, _ = ends
    waiter = SocketWaiter(ours.socket.fileno())
    with pytest.raises(TimeoutError):
        waiter.run(exchange.fetch(ours), time.monotonic() + 3600, stopping=lambda: True)


def test_input_that_is_read_while_a_message_waits_counts_as_received(
    ends: tuple[Wire, Wire],
) -> None:
    """Otherwise the watchdog would take a server that sends for a silent one."""
    ours, theirs = ends
    waiter = SocketWaiter(ours.socket.fileno())
    fill(ours)
    with pytest.raises(TimeoutError):
        waiter.run(exchange.send_copy_data(ours, _MESSAGE), time.monotonic())
    began = time.monotonic()
    assert waiter.last_readable < began
    theirs.socket.send(b"row")
    with pytest.raises(TimeoutError):
        waiter.run(exchange.send_copy_data(ours, _MESSAGE), time.monotonic())
    assert waiter.last_readable >= began


def test_the_copy_ends_when_the_server_has_ended_its_command(ends: tuple[Wire, Wire]) -> None:
    ours, theirs = ends
    ours.incoming.extend([b"a row that was on its way", b"", b"another"])
    ours.results.append(cast("PGresult", object()))
    theirs.socket.send(b"CommandComplete")
    _run(ours, exchange.end_copy(ours))
    assert ours.ended
    assert not ours.incoming
    assert not ours.results


def test_the_end_of_the_copy_that_libpq_did_not_accept_is_offered_again(
    ends: tuple[Wire, Wire],
) -> None:
    ours, theirs = ends
    ours.refusals = 1
    theirs.socket.send(b"CommandComplete")
    _run(ours, exchange.end_copy(ours))
    assert ours.ended


def test_the_copy_has_ended_where_a_server_that_shuts_down_closes_instead(
    ends: tuple[Wire, Wire],
) -> None:
    ours, theirs = ends
    theirs.socket.close()
    _run(ours, exchange.end_copy(ours))
    assert ours.ended


def test_the_copy_does_not_end_where_the_server_never_answers(ends: tuple[Wire, Wire]) -> None:
    ours, _ = ends
    with pytest.raises(TimeoutError):
        _run(ours, exchange.end_copy(ours), _BOUND)


def test_a_query_is_sent_whole_and_its_answer_awaited(ends: tuple[Wire, Wire]) -> None:
    ours, theirs = ends
    answer = _result(pq.ExecStatus.TUPLES_OK)
    ours.results.append(answer)
    fill(ours)
    server = threading.Thread(target=_answer, args=(theirs.socket, b"IDENTIFY_SYSTEM"))
    server.start()
    assert _run(ours, exchange.send_query(ours, "IDENTIFY_SYSTEM")) is answer
    server.join(30)


@pytest.mark.parametrize(
    ("first", "left"),
    [
        (pq.ExecStatus.TUPLES_OK, 0),
        (pq.ExecStatus.FATAL_ERROR, 0),
        (pq.ExecStatus.COPY_BOTH, 1),
    ],
)
def test_a_query_leaves_no_result_behind_unless_it_begins_a_copy(
    ends: tuple[Wire, Wire], first: pq.ExecStatus, left: int
) -> None:
    ours, theirs = ends
    theirs.socket.send(b"rows")
    ours.consume_input()
    answer = _result(first)
    ours.results += [answer, _result(pq.ExecStatus.COMMAND_OK)]
    assert _run(ours, exchange.send_query(ours, "IDENTIFY_SYSTEM")) is answer
    assert len(ours.results) == left


def _result(status: pq.ExecStatus) -> PGresult:
    return cast("PGresult", SimpleNamespace(status=status.value))


def _answer(server: socket.socket, query: bytes) -> None:
    """Read until the query has arrived, then answer."""
    read = b""
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        while not read.endswith(query):
            selector.select(30)
            read += server.recv(1_000_000)
    server.send(b"row")


def _read_all(peer: socket.socket) -> bytes:
    read = b""
    try:
        while chunk := peer.recv(1_000_000):
            read += chunk
    except BlockingIOError:
        pass
    return read

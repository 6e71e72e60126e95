"""The bound on HTTP clients: who waits longest gives way, and a full table is no endless loop."""

import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cdc_sidecar.http import listener
from cdc_sidecar.http.listener import Clients, Listener, client_limit

Pair = tuple[socket.socket, socket.socket]  # the client's end, and ours


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Yield three connections."""
    with ExitStack() as opened:
        made = [socket.socketpair() for _ in range(3)]
        for pair in made:
            for end in pair:
                opened.enter_context(end)
        yield made


def _is_dropped(pair: Pair) -> bool:
    theirs, _ = pair
    theirs.setblocking(False)  # noqa: FBT003 - its only parameter
    try:
        return theirs.recv(1) == b""
    except BlockingIOError:
        return False


def test_the_client_without_a_request_for_the_longest_time_gives_way(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "CLOSE_TIMEOUT", 0.01)
    clients = Clients(2)
    for _, ours in pairs[:2]:
        clients.admit(ours)
    clients.use(pairs[0][1])
    clients.admit(pairs[2][1])
    assert [_is_dropped(pair) for pair in pairs] == [False, True, False]


def test_a_client_that_left_makes_room(pairs: list[Pair]) -> None:
    clients = Clients(2)
    for _, ours in pairs[:2]:
        clients.admit(ours)
    clients.closed(pairs[0][1])
    clients.admit(pairs[2][1])
    assert not any(_is_dropped(pair) for pair in pairs)


def test_without_a_free_descriptor_the_listener_makes_room(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "CLOSE_TIMEOUT", 0.01)

    def refuse(_listener: ThreadingHTTPServer) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(ThreadingHTTPServer, "get_request", refuse)
    with Listener(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.clients.admit(pairs[0][1])
        with pytest.raises(OSError, match="Too many open files"):
            server.get_request()
    assert _is_dropped(pairs[0])


@pytest.mark.parametrize(
    ("descriptors", "clients"), [(64, 8), (16, 4), (1024, 64), (resource.RLIM_INFINITY, 64)]
)
def test_http_has_a_small_part_of_the_descriptors(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, clients: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (descriptors, descriptors))
    assert client_limit() == clients

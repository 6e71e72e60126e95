"""libpq's nonblocking functions on one end of a socket pair, as `postgres.exchange` calls them."""

import socket
from collections import deque
from dataclasses import dataclass, field

import psycopg
from psycopg.pq.abc import PGresult


@dataclass
class Wire:
    """Has a queue of output and a buffer of input, both without a limit, as libpq has."""

    socket: socket.socket
    refusals: int = 0
    """How often `put_copy_data` and `put_copy_end` still return 0."""
    incoming: deque[bytes] = field(default_factory=deque)
    """The messages that `get_copy_data` returns before the end; b"" stands for none yet."""
    results: deque[PGresult] = field(default_factory=deque)
    queue: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def send_query(self, command: bytes) -> None:
        """Queue a query."""
        self.queue += command

    def put_copy_data(self, buffer: bytes) -> int:
        """Queue a message, or refuse it."""
        if self._refuses():
            return 0
        self.queue += buffer
        return 1

    def put_copy_end(self) -> int:
        """Note the end, or refuse it."""
        if self._refuses():
            return 0
        self.ended = True
        return 1

    def _refuses(self) -> bool:
        self.refusals -= 1
        return self.refusals >= 0

    def flush(self) -> int:
        """Send as much of the queue as the socket accepts."""
        try:
            while self.queue:
                del self.queue[: self.socket.send(self.queue)]
        except BlockingIOError:
            return 1
        return 0

    def consume_input(self) -> None:
        """Read the available input once."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        self.received += chunk

    def get_copy_data(self, _async: int) -> tuple[int, memoryview]:
        """Return the next message, or -1 after the last one."""
        if not self.incoming:
            return -1, memoryview(b"")
        message = self.incoming.popleft()
        return len(message), memoryview(message)

    def is_busy(self) -> int:
        """Return whether the answer has not arrived yet."""
        return not self.received

    def get_result(self) -> PGresult | None:
        """Return the next result."""
        return self.results.popleft() if self.results else None


def pair() -> tuple[Wire, Wire]:
    """Return both ends of a connection that does not block and has the smallest buffers."""
    ends = socket.socketpair()
    for end in ends:
        end.settimeout(0)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel uses its minimum
    return Wire(ends[0]), Wire(ends[1])


def fill(wire: Wire) -> None:
    """Write until the socket accepts no more, and leave the queue empty."""
    while not wire.queue:
        wire.queue += bytes(65536)
        wire.flush()
    wire.queue.clear()

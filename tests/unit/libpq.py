"""libpq's nonblocking functions on one end of a socket pair, as `postgres.exchange` calls them."""

import socket
from collections import deque
from dataclasses import dataclass, field

import psycopg
from psycopg.pq.abc import PGresult


@dataclass
class Wire:
    """Keeps a queue to write and a buffer of what was read, both without a limit, as libpq does."""

    socket: socket.socket
    refusals: int = 0
    """How often `put_copy_data` and `put_copy_end` still return 0."""
    incoming: deque[bytes] = field(default_factory=deque)
    """The messages that `get_copy_data` returns before the end of the copy; b"" is none yet."""
    results: deque[PGresult] = field(default_factory=deque)
    queue: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def send_query(self, command: bytes) -> None:
        """Queue a query."""
        self.queue += command

    def put_copy_data(self, buffer: bytes) -> int:
        """Queue a message, unless it is to be refused."""
        if self._refuses():
            return 0
        self.queue += buffer
        return 1

    def put_copy_end(self) -> int:
        """Queue the end, unless it is to be refused."""
        if self._refuses():
            return 0
        self.ended = True
        return 1

    def _refuses(self) -> bool:
        self.refusals -= 1
        return self.refusals >= 0

    def flush(self) -> int:
        """Send what the socket takes."""
        try:
            while self.queue:
                del self.queue[: self.socket.send(self.queue)]
        except BlockingIOError:
            return 1
        return 0

    def consume_input(self) -> None:
        """Read once what the socket holds."""
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
        """Tell whether the answer has not come yet."""
        return not self.received

    def get_result(self) -> PGresult | None:
        """Return the next result."""
        return self.results.popleft() if self.results else None


def pair() -> tuple[Wire, Wire]:
    """Return two ends that do not block, with buffers that are soon full."""
    ends = socket.socketpair()
    for end in ends:
        end.settimeout(0)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel's least
    return Wire(ends[0]), Wire(ends[1])


def fill(wire: Wire) -> None:
    """Write until the socket takes no more, and leave nothing in the queue."""
    while not wire.queue:
        wire.queue += bytes(65536)
        wire.flush()
    wire.queue.clear()

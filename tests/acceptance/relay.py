"""A TCP relay between sidecar and Postgres whose connections a test can cut."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST


@dataclass
class Relay:
    """The relay. It listens on its own port."""

    target: int  # port on 127.0.0.1
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _flowing: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._listener.getsockname()[1])

    def reset(self) -> None:
        """Cut every connection with a reset on both sides."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with end, suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """Drop all data, as a network that lost a route does; then reset."""
        self._flowing.clear()
        try:
            yield
        finally:
            self.reset()
            self._flowing.set()

    @contextmanager
    def listening(self) -> Iterator["Relay"]:
        """Relay until the end."""
        self._flowing.set()
        accepting = threading.Thread(target=self._accept, daemon=True)
        accepting.start()
        yield self
        self._flowing.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        accepting.join()
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:  # as a client sees a server that is down
            client.close()
            return
        self._pairs.append((client, server))
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(1 << 16):
                self._flowing.wait()
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)

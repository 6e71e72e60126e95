"""A TCP proxy between sidecar and broker that understands Kafka's request header.

Kafka protocol guide, "Protocol Primitives" and "Request Header": each message begins with its
length in four bytes. Then a request has api key, api version and correlation id, a response only
the correlation id.
The broker must advertise the proxy's address.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from tests.acceptance.registration import Registration, TopicPartitions, with_results


class Api(Enum):
    """The api keys of the requests in the transaction protocol."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    FIND_COORDINATOR = 10
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


class Cut(Enum):
    """The fault of the next request of an api."""

    REQUEST_LOST = "request lost"
    RESPONSE_LOST = "response lost"
    DELAYED = "delayed past the time-out"
    RESET = "connection reset"


DELAY = 3.0  # seconds; the clients under test wait 1.5


@dataclass
class Wire:
    """The proxy.

    `arm` cuts one request; `hold` delays one until `release`; `forgetting` hides topics from the
    transaction coordinator.
    """

    broker_port: int
    port: int
    cuts: int = 0
    _armed: tuple[Api, Cut] | None = None
    _forgotten: frozenset[str] = frozenset()
    _holding: Api | None = None
    _held: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to listen."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        self._closing.set()
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def arm(self, api: Api, cut: Cut) -> None:
        """Cut the next request of this api."""
        with self._lock:
            self._armed = (api, cut)

    @contextlib.contextmanager
    def forgetting(self, *topics: str) -> Iterator[None]:
        """Let the transaction coordinator learn of no partition of these topics meanwhile.

        It then writes no marker there when the transaction ends, as if it had lost the partitions.
        The broker must take records of partitions that it has not verified.
        """
        self._forgotten = frozenset(topics)
        try:
            yield
        finally:
            self._forgotten = frozenset()

    def hold(self, api: Api) -> None:
        """Hold back the next request of this api; its connection continues without it."""
        with self._lock:
            self._holding = api

    def release(self) -> int:
        """Send the held request over a new connection; return the error code of the answer.

        The code follows the throttle time, as in responses of EndTxn up to version 2.
        """
        assert self._held, "no request was kept back"
        with socket.create_connection(("127.0.0.1", self.broker_port)) as broker:
            broker.sendall(self._held)
            (code,) = struct.unpack_from(">h", _read(broker), 12)
        return int(code)

    def _keep_back(self, api_key: int, message: bytes) -> bool:
        with self._lock:
            if self._holding is None or self._holding.value != api_key:
                return False
            self._holding, self._held = None, message
            return True

    def disarm(self) -> None:
        """Cut no further request."""
        with self._lock:
            self._armed = None

    @property
    def armed(self) -> bool:
        """Whether the cut has not happened yet."""
        return self._armed is not None

    def _take(self, api_key: int) -> Cut | None:
        with self._lock:
            if self._armed is None or self._armed[0].value != api_key:
                return None
            cut, self._armed = self._armed[1], None
            self.cuts += 1
            return cut

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue
            try:
                broker = socket.create_connection(("127.0.0.1", self.broker_port))
            except OSError:
                client.close()
                continue
            self._sockets += [client, broker]
            passage = _Passage(client, broker)
            for target in (self._forward_requests, self._forward_responses):
                threading.Thread(target=target, args=(passage,), daemon=True).start()

    def _forward_requests(self, passage: "_Passage") -> None:
        client, broker, lost = passage.client, passage.broker, passage.lost
        with _both(client, broker):
            while message := _read(client):
                api_key, _version, correlation = struct.unpack_from(">hhi", message, 4)
                if self._keep_back(api_key, message):
                    continue
                if api_key == Api.ADD_PARTITIONS_TO_TXN.value and self._forgotten:
                    message = self._forget(message, passage)
                match self._take(api_key):
                    case Cut.REQUEST_LOST:
                        continue
                    case Cut.RESPONSE_LOST:
                        lost.add(correlation)
                    case Cut.DELAYED:
                        self._closing.wait(DELAY)
                    case Cut.RESET:
                        return
                    case None:
                        pass
                broker.sendall(message)

    def _forget(self, message: bytes, passage: "_Passage") -> bytes:
        """Return AddPartitionsToTxn (version 0) without the forgotten topics."""
        request = Registration.parse(message)
        hidden = [topic for topic in request.topics if topic[0] in self._forgotten]
        passage.hidden[request.correlation] = hidden
        self.cuts += len(hidden)
        return request.without(hidden)

    def _forward_responses(self, passage: "_Passage") -> None:
        client, broker, lost = passage.client, passage.broker, passage.lost
        with _both(client, broker):
            while message := _read(broker):
                (correlation,) = struct.unpack_from(">i", message, 4)
                if correlation in lost:
                    lost.discard(correlation)
                else:
                    hidden = passage.hidden.pop(correlation, [])
                    client.sendall(with_results(message, hidden) if hidden else message)


@dataclass
class _Passage:
    """One connection through the proxy."""

    client: socket.socket
    broker: socket.socket
    lost: set[int] = field(default_factory=set)  # correlation ids of responses to be lost
    hidden: dict[int, list[TopicPartitions]] = field(default_factory=dict)  # and what to add


@contextlib.contextmanager
def _both(*sockets: socket.socket) -> Iterator[None]:
    """Close both ends when either one ends."""
    try:
        yield
    except OSError:
        pass
    finally:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _read(source: socket.socket) -> bytes:
    """Read one message with its length; return nothing if the connection ends first."""
    head = _read_exactly(source, 4)
    if not head:
        return b""
    (size,) = struct.unpack(">i", head)
    body = _read_exactly(source, size)
    return head + body if body else b""


def _read_exactly(source: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = source.recv(min(size, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

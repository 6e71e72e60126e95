"""The listener of the HTTP server: a thread for each client, and a bound on their number.

Clients that hold connections open could otherwise take the descriptors that the stream needs.
"""

import errno
import resource
import socket
import ssl
import threading
from collections import OrderedDict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from cdc_sidecar.http.certificates import Certificates

FEWEST_CLIENTS: Final = 4
"""Connections that are kept in any case: probes, a scrape, and a person."""
MOST_CLIENTS: Final = 64
"""Connections that are kept at most: each has a thread."""
SHARE: Final = 8
"""HTTP has one of so many descriptors: with the smallest usual limit, 1024, it has all it may."""
CLOSE_TIMEOUT: Final = 1.0
"""Seconds to wait until the thread of a client that was dropped has closed its descriptor."""
HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds that a client may be silent during the handshake of TLS."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def client_limit() -> int:
    """Return how many clients may be connected under the process's limit of descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CLIENTS
    return max(FEWEST_CLIENTS, min(MOST_CLIENTS, descriptors // SHARE))


class Clients:
    """The connected clients, by the time of their last request; the oldest gives way to a new one.

    The thread that accepts calls `admit`; the threads of the clients call the other methods.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._by_use: OrderedDict[socket.socket, None] = OrderedDict()
        self._open = 0  # includes those that were dropped and are not yet closed

    def admit(self, client: socket.socket) -> None:
        """Take a new client; drop the one that has been idle for the longest time if need be."""
        with self._changed:
            if self._open >= self._limit:
                self._drop_oldest()
                self._changed.wait_for(lambda: self._open < self._limit, CLOSE_TIMEOUT)
            self._by_use[client] = None
            self._open += 1

    def use(self, client: socket.socket) -> None:
        """Note a request."""
        with self._changed:
            if client in self._by_use:
                self._by_use.move_to_end(client)

    def drop_oldest(self) -> None:
        """Make room, and wait a moment until it is there."""
        with self._changed:
            self._drop_oldest()
            self._changed.wait(CLOSE_TIMEOUT)

    def _drop_oldest(self) -> None:
        if self._by_use:
            client, _ = self._by_use.popitem(last=False)
            with suppress(OSError):  # it has gone already
                # wakes its thread, which closes it; TLS must not be ended by another thread
                socket.socket.shutdown(client, socket.SHUT_RDWR)

    def closed(self, client: socket.socket) -> None:
        """Note that a client's descriptor is free."""
        with self._changed:
            self._by_use.pop(client, None)
            self._open -= 1
            self._changed.notify_all()


class Listener(ThreadingHTTPServer):
    """Reports nothing when a client disconnects before its answer is complete."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        certificates: Certificates | None = None,
    ) -> None:
        """Bind the address; with certificates, speak TLS."""
        self._certificates = certificates
        self.clients = Clients(client_limit())
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a client; without a free descriptor make room, instead of trying without pause."""
        try:
            client, address = super().get_request()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self.clients.drop_oldest()
            raise
        return self._secured(client), address

    def _secured(self, client: socket.socket) -> socket.socket:
        """Return the socket of a client, with TLS if that is configured; nothing is sent yet."""
        if self._certificates is None:
            return client
        try:
            return self._certificates.context.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            )
        except OSError:  # it has gone already
            client.close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - its base's
        """Serve a client in a thread of its own."""
        self.clients.admit(request)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Serve a client; its thread, not the one that accepts, waits for the handshake."""
        if isinstance(request, ssl.SSLSocket):
            request.settimeout(HANDSHAKE_TIMEOUT)
            request.do_handshake()
        super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as above
        """Close a client's connection."""
        super().shutdown_request(request)
        self.clients.closed(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Drop the connection."""

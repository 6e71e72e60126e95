"""The HTTP server: binds its address, serves in a thread, and stops."""

import errno
import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from cdc_sidecar.config.process import Http
from cdc_sidecar.errors import HttpUnavailable
from cdc_sidecar.http.access import Access
from cdc_sidecar.http.certificates import Certificates
from cdc_sidecar.http.handler import Handler
from cdc_sidecar.http.listener import Listener, client_limit
from cdc_sidecar.http.live import Live
from cdc_sidecar.http.pages import Pages


class HttpServer:
    """The server and its thread; the constructor binds the address."""

    def __init__(self, config: Http, served: Pages) -> None:
        """Bind the address.

        Raises:
            HttpUnavailable: the address is in use, or is not one of this host; or the certificate
                cannot be used.

        """
        self._live = streams = Live(served.changing_parts, client_limit())

        class Client(Handler):
            pages = served
            access = Access(config)
            live = streams

        self._server = _bind(config, Client)
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._server.server_port

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._live.close()
        self._server.socket.shutdown(socket.SHUT_RDWR)  # the thread would wake half a second later
        self._server.shutdown()
        self._server.server_close()


def try_address(config: Http) -> None:
    """Bind the address, and free it at once.

    Raises:
        HttpUnavailable: the address is in use, or is not one of this host; or the certificate
            cannot be used.

    """
    _bind(config, Handler).server_close()


def _bind(config: Http, handler: type[BaseHTTPRequestHandler]) -> Listener:
    certificates = None
    if config.tls_certificate and config.tls_key:
        certificates = Certificates(Path(config.tls_certificate), Path(config.tls_key))
    try:
        return Listener((config.host, config.port), handler, certificates)
    except OSError as error:
        host, _, port = config.listen.rpartition(":")
        hint = (
            f'set listen = "0.0.0.0:{port}" in [http], which is every address of this host, or name'
            " one of them"
            if error.errno == errno.EADDRNOTAVAIL
            else f'set listen = "{host}:0" in [http], which takes any free port, or name a free'
            " address"
        )
        raise HttpUnavailable(f"{config.listen}: {error.strerror}", hint=hint) from error

"""A real HTTP server over a status board, without a daemon."""

import base64
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPMessage

from cdc_sidecar.config.process import Http
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.http.pages import Pages
from cdc_sidecar.http.server import HttpServer
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.runtime.status import Status
from cdc_sidecar.runtime.status_board import StatusBoard


@dataclass(frozen=True, slots=True)
class Got:
    """An answer."""

    status: int
    headers: Message
    body: bytes


class Served:
    """A server that runs, and its board."""

    def __init__(self, board: StatusBoard, config: Http) -> None:
        self.board = board
        self.server = HttpServer(config, Pages(board, Metrics({}), Subjects()))
        self.url = f"{config.scheme}://127.0.0.1:{self.server.port}"

    def get(self, path: str, authorization: str = "", trust: ssl.SSLContext | None = None) -> Got:
        """Return the answer to a GET."""
        headers = {"Authorization": authorization} if authorization else {}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)  # noqa: S310 - http
        try:
            with urllib.request.urlopen(request, timeout=10, context=trust) as answer:  # noqa: S310 - http
                assert isinstance(answer.headers, HTTPMessage)
                return Got(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Got(error.code, error.headers, error.read())

    def connect(self) -> socket.socket:
        """Return a connection on which nothing was sent yet."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=10)


def basic(username: str, password: str) -> str:
    """Return the header of basic authentication."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def new_board() -> StatusBoard:
    """Return the board of a sidecar that has just started."""
    return StatusBoard(Status("orders", "orders_cdc", "cdc.orders", "0", 0.0))


@contextmanager
def serving(config: Http | None = None, board: StatusBoard | None = None) -> Iterator[Served]:
    """Serve until the end of the block."""
    served = Served(board or new_board(), config or Http(listen="127.0.0.1:0"))
    served.server.start()
    try:
        yield served
    finally:
        served.server.stop()

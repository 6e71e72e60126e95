"""The HTTP server and its pages: metrics, health, status and the read-only schema registry.

Every page is answered from memory, without a request to Postgres or Kafka. The registry implements
the reading part of Confluent's API (Schema Registry documentation, "API Reference"), and every
other request is answered in the form of that API's errors.
"""

import errno
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from cdc_sidecar.config.process import Http
from cdc_sidecar.errors import HttpUnavailable
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.http.listener import Listener
from cdc_sidecar.http.registry_api import (
    Answer,
    answer_get,
    answer_other,
    answer_post,
    methods_of,
    refusal,
)
from cdc_sidecar.http.request import BodyRefused, path_of, read_body
from cdc_sidecar.http.status_page import render_status
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.runtime.status import Status, StatusBoard

_JSON: Final = "application/json"
_REGISTRY: Final = "application/vnd.schemaregistry.v1+json"
_WORTH_PACKING: Final = 1000
"""Bytes from which an answer is compressed for a client that accepts gzip."""
_PACKING: Final = 1
"""The level of gzip: a scrape of 5,000 series is ten times smaller, and takes milliseconds."""
_PAGES: Final = ("/", "/metrics", "/livez", "/readyz", "/status")

Page = tuple[int, str, bytes]
"""HTTP status, content type and body."""


class HttpServer:
    """The server and its thread; the constructor binds the address."""

    def __init__(self, config: Http, served: "Pages") -> None:
        """Bind the address.

        Raises:
            HttpUnavailable: the address is in use, or is not one of this host.

        """

        class Handler(_Handler):
            pages = served

        self._server = _bind(config, Handler)
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
        self._server.socket.shutdown(socket.SHUT_RDWR)  # the thread would wake half a second later
        self._server.shutdown()
        self._server.server_close()


def try_address(config: Http) -> None:
    """Bind the address, and free it at once.

    Raises:
        HttpUnavailable: the address is in use, or is not one of this host.

    """
    _bind(config, _Handler).server_close()


def _bind(config: Http, handler: type[BaseHTTPRequestHandler]) -> Listener:
    try:
        return Listener((config.host, config.port), handler)
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


class Pages:
    """The page for each path: HTTP status, content type and body."""

    def __init__(self, board: StatusBoard, metrics: Metrics, registry: Subjects) -> None:
        self._board = board
        self._metrics = metrics
        self._registry = registry

    def get(self, path: str, accept: str = "") -> "Page":
        """Return the page of a path without its query; `accept` is the header of the request."""
        now = self._board.now
        match path:
            case "/metrics":
                return 200, *self._metrics.expose(accept)
            case "/livez":
                stuck = self._board.stuck()
                return _health(not stuck, _liveness(stuck))
            case "/readyz":
                return _health(now.ready, _readiness(now))
            case "/status":
                return 200, _JSON, _dump(self._board.as_json())
            case "/":
                page = render_status(self._board.as_json(), time.time())
                return 200, "text/html; charset=utf-8", page.encode()
            case _:
                return _registry_page(answer_get(self._registry, path))

    def post(self, path: str, content: bytes) -> "Page":
        """Return the page of a POST: a look-up in the registry."""
        if path in _PAGES:
            return self.refuse(path)
        return _registry_page(answer_post(self._registry, path, content))

    def refuse(self, path: str) -> "Page":
        """Return the page of a method that would change something."""
        if path in _PAGES:
            return _registry_page(refusal(405, "Method Not Allowed"))
        return _registry_page(answer_other(self._registry, path))


class _Handler(BaseHTTPRequestHandler):
    pages: Pages
    server: Listener
    headers = Message()  # of a request that could not be parsed
    protocol_version = "HTTP/1.1"
    server_version = "cdc-sidecar"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer a GET."""
        self._serve(lambda path, _: self.pages.get(path, self.headers.get("Accept", "")))

    def do_HEAD(self) -> None:
        """Answer a HEAD."""
        self.do_GET()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._serve(self.pages.post)

    def _serve(self, page: Callable[[str, bytes], Page]) -> None:
        """Read the whole request, and answer it with the page of its path and its body."""
        try:
            content = read_body(self.headers, self.rfile)
        except BodyRefused as refused:
            self._fail(refused.status)
        else:
            self._answer(page(path_of(self.path), content))

    def _answer(self, page: Page) -> None:
        self.server.clients.use(self.connection)
        status, kind, body = page
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if len(body) > _WORTH_PACKING and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, _PACKING)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Vary", "Accept, Accept-Encoding")
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", methods_of(path_of(self.path)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in the form of the registry's errors.

        Its base calls this with 501 for every method that this class has no function for.
        """
        del message, explain  # they repeat what the client has sent
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._serve(lambda path, _: self.pages.refuse(path))
        else:
            self._fail(HTTPStatus(code))

    def _fail(self, status: HTTPStatus) -> None:
        """Refuse a request that was not read to its end."""
        self.close_connection = True
        self._answer(_registry_page(refusal(status, status.phrase)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - its base's
        """Log nothing: probes and scrapes would hide the other events."""


def _registry_page(found: Answer) -> Page:
    status, body = found
    return status, _REGISTRY, body if isinstance(body, bytes) else _dump(body)


def _dump(body: object) -> bytes:
    return json.dumps(body, indent=None).encode()


def _health(good: bool, text: str) -> tuple[int, str, bytes]:  # noqa: FBT001 - a probe's result
    return 200 if good else 503, "text/plain", f"{text}\n".encode()


def _liveness(stuck: tuple[str, ...]) -> str:
    if not stuck:
        return "ok"
    return f"no progress in the {' and '.join(stuck)} thread{'s' * (len(stuck) > 1)}"


def _readiness(status: Status) -> str:
    """Return a line each for stream, Kafka and slot, then the error that ended a session."""
    lines = [f"{name}: {word}" for name, word in status.health(time.time()).items()]
    return "\n".join([*lines, *filter(None, [status.error])])

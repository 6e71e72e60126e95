"""The HTTP server and its pages: metrics, health, status and the read-only schema registry.

Every page is answered from memory, without a request to Postgres or Kafka. The registry implements
the read-only part of Confluent's API (Schema Registry documentation, "API Reference"), and answers
every other request with that API's 404.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from cdc_sidecar.config.model import Http
from cdc_sidecar.errors import HttpUnavailable
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.http.listener import Listener
from cdc_sidecar.http.registry_api import answer
from cdc_sidecar.http.status_page import render_status
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.runtime.status import Status, StatusBoard

_JSON: Final = "application/json"
_REGISTRY: Final = "application/vnd.schemaregistry.v1+json"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


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
        raise HttpUnavailable(
            f"{config.listen}: {error.strerror}",
            hint="set [http] listen to a free address; with port 0 any free port is taken",
        ) from error


class Pages:
    """The page for each path: HTTP status, content type and body."""

    def __init__(self, board: StatusBoard, metrics: Metrics, registry: Subjects) -> None:
        self._board = board
        self._metrics = metrics
        self._registry = registry

    def get(self, path: str) -> tuple[int, str, bytes]:
        """Return the page of a path without its query."""
        now = self._board.now
        match path:
            case "/metrics":
                return 200, _METRICS, self._metrics.expose()
            case "/livez":
                stuck = self._board.stuck()
                return _health(not stuck, _liveness(stuck))
            case "/readyz":
                return _health(now.ready, _readiness(now))
            case "/status":
                return 200, _JSON, _dump({**now.as_json(), "threads": self._board.beat_ages()})
            case "/":
                return 200, "text/html; charset=utf-8", render_status(now).encode()
            case _:
                status, body = answer(self._registry, path)
                return status, _REGISTRY, _dump(body)


class _Handler(BaseHTTPRequestHandler):
    pages: Pages
    server: Listener
    protocol_version = "HTTP/1.1"
    server_version = "cdc-sidecar"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer a HEAD."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        self.server.clients.use(self.connection)
        status, kind, body = self.pages.get(unquote(urlsplit(self.path).path))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - its base's
        """Log nothing: probes and scrapes would hide the other events."""


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

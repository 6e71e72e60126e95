"""The pages: metrics, probes, status and the read-only schema registry, answered from memory.

The registry implements the reading part of Confluent's API (Schema Registry documentation, "API
Reference"), and every other request is answered in the form of that API's errors.
"""

import json
import time
from http import HTTPStatus
from typing import Final

from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.http.page.document import POLICY, document, parts
from cdc_sidecar.http.registry_api import Answer, answer_get, answer_other, answer_post, refusal
from cdc_sidecar.http.status_body import status_body
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.runtime.status import Status
from cdc_sidecar.runtime.status_board import StatusBoard

EVENTS: Final = "/events"
"""The path of the stream of the status page."""
_PAGES: Final = ("/", "/metrics", "/livez", "/readyz", "/status", EVENTS)
_JSON: Final = "application/json"
_HTML: Final = "text/html; charset=utf-8"
_REGISTRY: Final = "application/vnd.schemaregistry.v1+json"

Page = tuple[int, str, bytes]
"""HTTP status, content type and body."""


class Pages:
    """The page for each path: HTTP status, content type and body."""

    def __init__(self, board: StatusBoard, metrics: Metrics, registry: Subjects) -> None:
        self._board = board
        self._metrics = metrics
        self._registry = registry

    def get(self, path: str, accept: str = "") -> Page:
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
                return 200, _JSON, _dump(status_body(self._board, self._registry))
            case "/":
                body = status_body(self._board, self._registry)
                return 200, _HTML, document(body, time.time()).encode()
            case _:
                return registry_page(answer_get(self._registry, path))

    def changing_parts(self) -> dict[str, str]:
        """Return the parts of the status page as they are now, by their ids."""
        return {**parts(status_body(self._board, self._registry), time.time())}

    def post(self, path: str, content: bytes) -> Page:
        """Return the page of a POST: a look-up in the registry."""
        if path in _PAGES:
            return self.refuse(path)
        return registry_page(answer_post(self._registry, path, content))

    def refuse(self, path: str) -> Page:
        """Return the page of a method that would change something."""
        if path in _PAGES:
            return refused(HTTPStatus.METHOD_NOT_ALLOWED)
        return registry_page(answer_other(self._registry, path))


def policy_of(page: Page) -> str:
    """Return the content security policy of a page: only the status page may load anything."""
    return POLICY if page[1] == _HTML else "default-src 'none'; frame-ancestors 'none'"


def refused(status: HTTPStatus) -> Page:
    """Return the page of a request that is refused, in the form of the registry's errors."""
    return registry_page(refusal(status, status.phrase))


def registry_page(found: Answer) -> Page:
    """Return an answer of the registry as a page."""
    status, body = found
    return status, _REGISTRY, body if isinstance(body, bytes) else _dump(body)


def _dump(body: object) -> bytes:
    return json.dumps(body, indent=None).encode()


def _health(good: bool, text: str) -> Page:  # noqa: FBT001 - a probe's result
    return 200 if good else 503, "text/plain", f"{text}\n".encode()


def _liveness(stuck: tuple[str, ...]) -> str:
    if not stuck:
        return "ok"
    return f"no progress in the {' and '.join(stuck)} thread{'s' * (len(stuck) > 1)}"


def _readiness(status: Status) -> str:
    """Return a line each for stream, Kafka and slot, then the error that ended a session."""
    lines = [f"{name}: {word}" for name, word in status.health(time.time()).items()]
    return "\n".join([*lines, *filter(None, [status.error])])

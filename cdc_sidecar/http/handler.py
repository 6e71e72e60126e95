"""Answers one client: reads its requests, checks its credentials, and sends pages and headers."""

import gzip
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from cdc_sidecar.errors import SecretUnavailable
from cdc_sidecar.http.access import Access
from cdc_sidecar.http.listener import Listener
from cdc_sidecar.http.live import Live
from cdc_sidecar.http.pages import EVENTS, Page, Pages, policy_of, refused
from cdc_sidecar.http.registry_api import methods_of
from cdc_sidecar.http.request import BodyRefused, path_of, read_body

_WORTH_PACKING: Final = 1000
"""Bytes from which an answer is compressed for a client that accepts gzip."""
_PACKING: Final = 1
"""The level of gzip: a scrape of 5,000 series is ten times smaller, and takes milliseconds."""
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept, Accept-Encoding, Authorization",
}
"""Headers of every answer, beside the content security policy."""
_STREAM: Final = "text/event-stream"


class Handler(BaseHTTPRequestHandler):
    """One connection; a server derives from it a class with its own pages."""

    pages: Pages
    access: Access
    live: Live
    server: Listener
    headers = Message()  # of a request that could not be parsed
    protocol_version = "HTTP/1.1"
    server_version = "cdc-sidecar"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer a GET."""
        if path_of(self.path) == EVENTS and self._is_allowed():
            self._stream()
        else:
            self.do_HEAD()

    def do_HEAD(self) -> None:
        """Answer a HEAD, or the GET of a page; `_answer` sends no body after a HEAD."""
        self._serve(lambda path, _: self.pages.get(path, self.headers.get("Accept", "")))

    def do_POST(self) -> None:
        """Answer a POST."""
        self._serve(self.pages.post)

    def _serve(self, page: Callable[[str, bytes], Page]) -> None:
        """Read the whole request, and answer it with the page of its path and its body."""
        if not self._is_allowed():
            self._fail(HTTPStatus.UNAUTHORIZED)
            return
        try:
            content = read_body(self.headers, self.rfile)
        except BodyRefused as refusal:
            self._fail(refusal.status)
        else:
            self._answer(page(path_of(self.path), content))

    def _is_allowed(self) -> bool:
        """Whether the client may have this path; nobody may if a secret cannot be read."""
        given = self.headers.get("Authorization", "")
        try:
            return self.access.allows(path_of(self.path), given)
        except SecretUnavailable:
            return False

    def _stream(self) -> None:
        """Send the changing parts of the page until the client leaves or the server stops."""
        with self.live.place() as granted:
            if not granted:
                self._fail(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            self.close_connection = True
            self._begin((HTTPStatus.OK, _STREAM, b""))
            self.end_headers()
            for event in self.live.events():
                self.wfile.write(event)

    def _begin(self, page: Page) -> None:
        """Send the status and the headers that every answer has."""
        self.server.clients.use(self.connection)
        status, kind, _ = page
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", policy_of(page))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")

    def _answer(self, page: Page) -> None:
        status, _, body = page
        self._begin(page)
        if len(body) > _WORTH_PACKING and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, _PACKING)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self._explain(status)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _explain(self, status: int) -> None:
        """Send the header that says how a refused request would be accepted."""
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", methods_of(path_of(self.path)))
        elif status == HTTPStatus.UNAUTHORIZED:
            for challenge in self.access.challenges:
                self.send_header("WWW-Authenticate", challenge)

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
        self._answer(refused(status))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - its base's
        """Log nothing: probes and scrapes would hide the other events."""

"""Who may read what over HTTP, with which headers, and that slow clients hold up nobody."""

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdc_sidecar.config.process import Http
from cdc_sidecar.config.secret import Secret
from cdc_sidecar.errors import HttpUnavailable
from cdc_sidecar.http import listener, live
from cdc_sidecar.http.access import Access
from cdc_sidecar.http.live import Live
from tests.acceptance.certificates import Authority
from tests.unit.serving import Served, basic, serving
from tests.waiting import await_true

_PATHS = ("/", "/status", "/metrics", "/subjects", "/events", "/nowhere")
_ADDRESS = "127.0.0.1:0"
_PASSWORD = Secret("literal", "quite secret")
_TOKEN = Secret("literal", "token-of-prometheus")
_SECURED = Http(
    listen=_ADDRESS,
    username=Secret("literal", "operator"),
    password=_PASSWORD,
    bearer_token=_TOKEN,
)


def test_only_the_probes_are_open_when_a_password_is_set() -> None:
    with serving(_SECURED) as served:
        for path in _PATHS:
            refused = served.get(path)
            assert refused.status == 401, path
            assert refused.headers.get_all("WWW-Authenticate") == [
                'Basic realm="cdc-sidecar", charset="UTF-8"',
                'Bearer realm="cdc-sidecar"',
            ]
        assert served.get("/livez").status == 200
        assert served.get("/readyz").status == 503
        assert served.get("/status", basic("operator", "quite secret")).status == 200
        assert served.get("/metrics", "Bearer token-of-prometheus").status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        basic("operator", "quite secre"),
        basic("operator", ""),
        basic("", "quite secret"),
        basic("root", "quite secret"),
        "Basic quite secret",
        "Basic \u00fc",
        "Bearer token-of-prometheu",
        "Bearer ",
        "Digest token-of-prometheus",
        "token-of-prometheus",
    ],
)
def test_wrong_credentials_are_refused(authorization: str) -> None:
    assert not Access(_SECURED).allows("/status", authorization)


def test_a_password_that_is_replaced_counts_for_the_next_request(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    access = Access(Http(listen=_ADDRESS, bearer_token=Secret("file", str(path))))
    assert access.allows("/status", "Bearer first")
    path.write_text("second\n")
    assert not access.allows("/status", "Bearer first")
    assert access.allows("/status", "Bearer second")
    path.unlink()
    with serving(Http(listen=_ADDRESS, bearer_token=Secret("file", str(path)))) as served:
        assert served.get("/status", "Bearer second").status == 401
        assert served.get("/livez").status == 200


def test_every_answer_has_the_headers_that_protect_a_browser() -> None:
    with serving() as served:
        for path in (*set(_PATHS) - {"/events"}, "/livez", "/readyz", "/subjects/x/versions"):
            headers = served.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy


def test_the_page_needs_nothing_from_elsewhere_and_no_style_or_script_but_its_own() -> None:
    with serving() as served:
        text = served.get("/").body.decode()
    assert len(re.findall(r"<script\b", text)) == len(re.findall(r"<style\b", text)) == 1
    assert not re.search(r"\son\w+=|\sstyle=|javascript:|src=|@import|url\(", text)
    links = re.findall(r'<link [^>]*href="([^"]+)"', text)
    assert [link[:19] for link in links] == ["data:image/svg+xml,"]


def test_the_files_of_a_certificate_are_read_again_when_they_change(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    config = Http(listen=_ADDRESS, tls_certificate=str(certificate), tls_key=str(key))
    trust = ssl.create_default_context(cafile=str(authority.certificate_path))
    with serving(config) as served:
        assert served.url.startswith("https://")
        assert served.get("/livez", trust=trust).status == 200
        first = _served_certificate(served)
        authority.issue("server")
        second = _served_certificate(served)
        assert first != second
        certificate.write_text("not a certificate")
        assert _served_certificate(served) == second


def _served_certificate(served: Served) -> str:
    return ssl.get_server_certificate(("127.0.0.1", served.server.port))


def test_a_certificate_that_cannot_be_used_is_an_error_with_a_hint(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, _ = authority.issue("one")
    _, other = authority.issue("other")
    _, locked = authority.issue("locked", b"password")
    for key in (other, locked, tmp_path / "absent"):
        config = Http(listen=_ADDRESS, tls_certificate=str(one), tls_key=str(key))
        with pytest.raises(HttpUnavailable) as refused, serving(config):
            pass
        assert str(key) in refused.value.fact
        assert "http.tls_key" in refused.value.hint


def test_a_client_that_does_not_end_its_handshake_holds_up_nobody_and_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT", 0.2)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    config = Http(listen=_ADDRESS, tls_certificate=str(certificate), tls_key=str(key))
    trust = ssl.create_default_context(cafile=str(authority.certificate_path))
    with serving(config) as served, served.connect() as silent, served.connect() as plain:
        plain.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert served.get("/livez", trust=trust).status == 200
        assert silent.recv(1) == b""
        assert not plain.recv(100).startswith(b"HTTP")


def test_a_stream_sends_all_parts_and_then_what_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    monkeypatch.setattr(live, "HEARTBEAT", 0.0)
    parts = {"slot": "a", "tables": "b"}
    events = Live(lambda: parts, 64).events()
    assert next(events) == b"retry: 2000\n\n"
    assert next(events) == b'data: {"slot": "a", "tables": "b"}\n\n'
    assert next(events) == b": still here\n\n"
    parts["slot"] = "c\nd"
    assert next(events) == b'data: {"slot": "c\\nd"}\n\n'


def test_streams_are_few_and_last_ten_minutes_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    streams = Live(dict, 4)
    with streams.place() as first, streams.place() as second, streams.place() as third:
        assert [first, second, third] == [True, True, False]
    with streams.place() as again:
        assert again
    with monkeypatch.context() as patch:
        patch.setattr(live, "LONGEST", 0.05)
        assert list(streams.events()) == [b"retry: 2000\n\n"]


def test_streams_end_with_the_server() -> None:
    streams = Live(dict, 4)
    ended = threading.Thread(target=lambda: list(streams.events()))
    ended.start()
    streams.close()
    ended.join(10)
    assert not ended.is_alive()
    with streams.place() as closed:
        assert not closed


@contextmanager
def _reading(served: Served) -> Iterator[bytes]:
    """Read a stream up to its first event; leave it open until the end of the block."""
    with served.connect() as reader:
        reader.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while b"data: {" not in received:
            received += reader.recv(65536)
        yield received


def test_a_stream_over_http_has_a_place_of_its_own_and_leaves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    monkeypatch.setattr(live, "HEARTBEAT", 0.01)
    monkeypatch.setattr(live, "MOST", 1)
    with serving() as served:
        with _reading(served) as received:
            assert b"Content-Type: text/event-stream" in received
            assert served.get("/events").status == 503
            assert served.get("/status").status == 200

        def is_free() -> bool:
            with served.connect() as other:
                other.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
                return other.recv(15).startswith(b"HTTP/1.1 200")

        await_true(is_free, what="the place of the client that left")

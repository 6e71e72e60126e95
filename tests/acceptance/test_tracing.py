"""Spans of Kafka transactions as a collector receives them; the stream needs no collector."""

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.own_postgres import ITEMS
from tests.waiting import await_true


class Collector:
    """The end of OTLP over HTTP that a collector has: keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        kept = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    kept.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def spans(self) -> list[dict[str, str | int]]:
        """The attributes of each span, with its name and its duration in nanoseconds."""
        return [
            {
                "name": span.name,
                "duration": span.end_time_unix_nano - span.start_time_unix_nano,
                **{
                    pair.key: pair.value.string_value or pair.value.int_value
                    for pair in span.attributes
                },
            }
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Yield a collector."""
    started = Collector()
    yield started
    started.close()


def _section(url: str) -> str:
    return f'\n[tracing]\notlp_endpoint = "{url}"\nsample_ratio = 1.0\n'


def test_a_span_says_what_a_kafka_transaction_held(
    make_service: Callable[..., Service], collector: Collector
) -> None:
    service = make_service(TABLES + MARKS + _section(collector.url))
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 30) n")
    service.await_published()
    assert service.sidecar.terminate() == 0
    await_true(lambda: collector.spans, what="the last spans are sent at the end")
    (span,) = [span for span in collector.spans if int(span["cdc.events"]) >= 30]
    assert span["name"] == "kafka transaction"
    assert int(span["messaging.batch.message_count"]) >= 31
    assert int(span["duration"]) > 0
    (resource,) = {
        tuple((pair.key, pair.value.string_value) for pair in group.resource.attributes)
        for request in collector.requests
        for group in request.resource_spans
    }
    facts = dict(resource)
    assert (facts["service.name"], facts["service.namespace"]) == ("cdc-sidecar", service.name)


def test_a_collector_that_is_away_holds_up_neither_the_stream_nor_its_end(
    make_service: Callable[..., Service], collector: Collector
) -> None:
    collector.close()
    service = make_service(TABLES + MARKS + _section(collector.url))
    service.sql(*ITEMS)
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'x')")
    service.await_published()
    assert service.sidecar.terminate() == 0
    assert "Traceback" not in service.sidecar.log_text()

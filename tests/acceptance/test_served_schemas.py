"""The built-in registry serves what is committed, and nothing else."""

import http.client
import json
from collections.abc import Iterator

from cdc_sidecar.failpoints import VARIABLE
from tests.acceptance.conftest import Service
from tests.waiting import await_true


def _subjects(service: Service) -> list[str]:
    status, body = service.sidecar.get("/subjects")
    assert status == 200
    subjects: list[str] = json.loads(body)
    return [subject for subject in subjects if "items" in subject]


def _aborts(service: Service) -> int:
    return len(service.sidecar.events("transaction_aborted"))


def test_a_schema_of_an_aborted_transaction_is_served_only_once_a_later_one_has_committed_it(
    service: Service,
) -> None:
    """The first transaction is aborted before its commit, the second is held up before its own."""
    service.sidecar.start(environment={VARIABLE: "after_position=raise,before_commit=delay"})
    service.sidecar.await_phase("streaming")
    assert _subjects(service) == []
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    await_true(lambda: _aborts(service) == 1, what="the first transaction is aborted")
    assert _subjects(service) == [], "its schema was never committed"
    service.await_published()
    assert _subjects(service) == [
        f"{service.name}.public.items-{part}" for part in ("key", "value")
    ]


def _converse(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | Iterator[bytes] | None = None,
) -> tuple[int, bytes]:
    """Send a request over a connection that stays open; an iterator is sent in chunks."""
    chunked = body is not None and not isinstance(body, bytes)
    connection.request(method, path, body, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "application/vnd.schemaregistry.v1+json"
    assert (answer.status == 405) == ("Allow" in answer.headers)
    return answer.status, answer.read()


def test_the_avro_converter_finds_a_version_and_every_other_request_has_confluents_errors(
    service: Service,
) -> None:
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    subject = f"/subjects/{service.name}.public.items-value"
    connection = http.client.HTTPConnection("127.0.0.1", service.sidecar.port, timeout=20)
    status, schema = _converse(connection, "GET", f"/{subject}/versions/latest/schema")
    assert (status, schema[:1]) == (200, b"{"), "the bare text of the schema"
    body = json.dumps({"schema": json.dumps(json.loads(schema), indent=1)}).encode()
    for spelled in (body, iter([body[:100], body[100:]])):
        path = f"{subject}?normalize=false&deleted=true"
        status, found = _converse(connection, "POST", path, spelled)
        assert (status, json.loads(found)["version"]) == (200, 1)
    for method, path, code in (
        ("POST", "/nothing", 404),
        ("PUT", "/config", 405),
        ("DELETE", f"{subject}/versions/1", 405),
        ("DELETE", subject, 405),
        ("GET", subject, 405),
        ("POST", f"{subject}/versions", 405),
        ("POST", "/metrics", 405),
        ("BREW", "/status", 405),
        ("GET", "/associations/subjects/x", 404),
        ("GET", "/nothing", 404),
    ):
        for sent in (None, b"{}"):
            status, answer = _converse(connection, method, path, sent)
            assert (status, json.loads(answer)["error_code"]) == (code, code), (method, path)
    connection.close()
    assert service.sidecar.get("/livez")[0] == 200

"""The registry finds a schema however a library prints it, and refuses all else in its own form."""

import json
from typing import Any

import pytest

from cdc_sidecar.events.registry.records import SchemaVersion
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.events.schema import canonical_json, schema_id
from cdc_sidecar.http.registry_api import answer_get, answer_other, answer_post, methods_of
from tests.unit.orders import DESCRIBE, INSERT, TOPIC, capture_orders

_INNER: dict[str, Any] = {
    "type": "record",
    "name": "Inner",
    "namespace": "a.b",
    "fields": [{"name": "n", "type": ["null", "int"], "default": None}],
}
_OUTER: dict[str, Any] = {
    "type": "record",
    "name": "Outer",
    "namespace": "a.b",
    "connect.name": "a.b.Outer",
    "fields": [
        {"name": "first", "type": _INNER},
        {"name": "second", "type": ["null", "a.b.Inner"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "all", "type": {"type": "array", "items": {"type": "string"}}},
    ],
}


def _subjects() -> Subjects:
    subjects = Subjects()
    subjects.complete = True
    for version, schema in enumerate((_INNER, _OUTER), start=1):
        text = canonical_json(schema)
        subjects.add(SchemaVersion("t-value", version, schema_id(text), text))
    return subjects


def _post(schema: object, path: str = "/subjects/t-value") -> tuple[int, Any]:
    return answer_post(_subjects(), path, json.dumps({"schema": schema}).encode())


def _printed(**changes: object) -> str:
    """Return the outer schema as another library prints it."""
    inner = {key: value for key, value in _INNER.items() if key != "namespace"}
    fields: list[dict[str, Any]] = [
        {"name": "first", "type": inner},
        {"default": None, "type": ["null", "Inner"], "name": "second"},
        {"name": "at", "type": {"logicalType": "timestamp-micros", "type": "long"}},
        {"name": "all", "type": {"items": "string", "type": "array"}},
    ]
    fields[0] |= {"order": "ascending", "doc": None, "aliases": []}
    outer = {"name": "a.b.Outer", "type": "record", "connect.name": "a.b.Outer", "fields": fields}
    return json.dumps({**outer, **changes}, indent=2)


def test_a_schema_that_another_library_printed_is_found_with_its_version() -> None:
    for text in (canonical_json(_OUTER), _printed(), _printed(name="Outer", namespace="a.b")):
        status, body = _post(text)
        assert (status, body["version"], body["subject"]) == (200, 2, "t-value")
        assert body["id"] == schema_id(canonical_json(_OUTER))
        assert _post(text, "/subjects/t-value/versions") == (200, {"id": body["id"]})


@pytest.mark.parametrize(
    "text",
    [
        _printed(name="Outer", namespace="a.c"),
        _printed(**{"connect.name": "other"}),
        json.dumps("string"),
        json.dumps(["null", "string"]),
    ],
    ids=["namespace", "property", "primitive", "union"],
)
def test_another_schema_is_not_found(text: str) -> None:
    assert (_post(text)[0], _post(text)[1]["error_code"]) == (404, 40403)
    assert _post(text, "/subjects/t-value/versions")[1]["error_code"] == 405, "read-only"


def test_an_unknown_subject_and_a_body_that_is_no_schema_have_confluents_codes() -> None:
    assert _post(_printed(), "/subjects/other")[1]["error_code"] == 40401
    undefined = json.dumps(["null", "Nowhere"])
    for schema in ("{", 7, None, undefined, '{"name": "x"}', "7", "[" * 100_000):
        assert _post(schema)[1]["error_code"] == 42201
    assert answer_post(_subjects(), "/subjects/t-value", b"\xff")[1]["error_code"] == 42201


def test_the_schema_alone_is_bare_text() -> None:
    subjects = _subjects()
    text = canonical_json(_OUTER).encode()
    for path in (
        f"/schemas/ids/{schema_id(text.decode())}/schema",
        "/subjects/t-value/versions/2/schema",
        "/subjects/t-value/versions/latest/schema",
    ):
        assert answer_get(subjects, path) == (200, text)


@pytest.mark.parametrize("version", ["0", "-2", "x", "99999999999", "9" * 5000, "²"])
def test_a_version_that_cannot_be_is_not_valid(version: str) -> None:
    status, body = answer_get(_subjects(), f"/subjects/t-value/versions/{version}")
    assert (status, body["error_code"]) == (422, 42202)


def test_methods_that_change_something_are_refused_by_what_the_path_is() -> None:
    subjects = _subjects()
    assert answer_other(subjects, "/subjects/t-value/versions/1")[0] == 405
    assert answer_other(subjects, "/config")[1]["error_code"] == 405
    assert answer_other(subjects, "/nothing")[1] == {
        "error_code": 404,
        "message": "HTTP 404 Not Found",
    }
    assert answer_post(subjects, "/schemas/types", b"")[0] == 405
    assert answer_get(subjects, "/subjects/t-value")[0] == 405, "it is a path, of POST alone"
    assert methods_of("/subjects/t-value") == "POST"
    assert answer_get(subjects, "/subjects/a%2Fb/versions")[1]["error_code"] == 40401


def test_our_own_envelope_is_found_as_avro_for_java_prints_it() -> None:
    session = capture_orders()
    session.transaction(DESCRIBE, INSERT)
    known = session.subjects.versions(f"{TOPIC}-value")[0]
    body = json.dumps({"schema": json.dumps(_reprinted(json.loads(known.schema)))}).encode()
    status, found = answer_post(session.subjects, f"/subjects/{TOPIC}-value", body)
    assert (status, found["id"]) == (200, known.id)


def _reprinted(schema: Any, outer: str = "") -> Any:  # noqa: ANN401 - JSON
    """Return a schema without the namespaces that follow from the enclosing record."""
    match schema:
        case list():
            return [_reprinted(branch, outer) for branch in schema]
        case {"fields": fields}:
            own = schema.get("namespace", outer)
            inner = [{**field, "type": _reprinted(field["type"], own)} for field in fields]
            printed = {**schema, "fields": inner}
            if own == outer:
                printed.pop("namespace", None)
            return printed
        case _:
            return schema


def test_before_the_schemas_are_loaded_it_is_not_known_that_one_is_missing() -> None:
    subjects = _subjects()
    subjects.complete = False
    paths = ("/subjects/x/versions", "/subjects/t-value/versions/9", "/schemas/ids/7", "/config/x")
    for path in paths:
        assert answer_get(subjects, path)[0] == 503
    assert answer_get(Subjects(), "/subjects")[0] == 503
    body = json.dumps({"schema": '"long"'}).encode()
    assert answer_post(subjects, "/subjects/t-value", body)[0] == 503
    assert answer_get(subjects, "/subjects/t-value/versions") == (200, [1, 2])
    assert answer_get(subjects, "/nothing")[0] == 404
    subjects.complete = True
    assert [answer_get(subjects, path)[0] for path in paths] == [404] * 4
    assert answer_get(Subjects(), "/config")[0] == 200

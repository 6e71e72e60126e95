"""Schemas of a service's repository: names, references and files, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from cdc_sidecar_client import EventTypeUnknown, OutboxMistaken, SchemaMistaken
from cdc_sidecar_client.payload.encode import encode
from cdc_sidecar_client.payload.schemas import load_schemas

Json = Any
ROOT = Path(__file__).parents[2]


def record(name: str, *fields: Json, **more: Json) -> Json:
    """Return the schema of a record whose fields are f0, f1 and so on."""
    named = [{"name": f"f{number}", "type": kind} for number, kind in enumerate(fields)]
    return {"type": "record", "name": name, "fields": named, **more}


def write(folder: Path, **schemas: Json) -> Path:
    """Write each schema to a file of its own."""
    for name, schema in schemas.items():
        (folder / f"{name}.avsc").write_text(json.dumps(schema))
    return folder


def test_the_event_type_is_the_name_of_the_record(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path, any_name=record("com.example.Placed"))
    write(tmp_path / "inner", other=record("Paid", "int"))
    schemas = load_schemas(tmp_path)
    assert encode(schemas.find("Paid"), {"f0": 1}) == {"f0": 1}
    assert encode(schemas.find("Placed"), {}) == {}
    with pytest.raises(EventTypeUnknown, match="did you mean Placed"):
        schemas.find("Placd")


def test_the_schemas_of_the_example_are_read() -> None:
    schemas = load_schemas(ROOT / "examples" / "orders" / "schemas")
    assert {name: str(schemas.find(name)) for name in ("OrderPlaced", "OrderCancelled")} == {
        "OrderPlaced": "record com.example.orders.OrderPlaced",
        "OrderCancelled": "record com.example.orders.OrderCancelled",
    }


def test_two_schemas_may_define_a_type_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, a=record("A", record("Line", "string")), b=record("B", record("Line", "int")))
    schemas = load_schemas({"A": tmp_path / "a.avsc", "B": tmp_path / "b.avsc"})
    assert encode(schemas.find("A"), {"f0": {"f0": "a"}}) == {"f0": {"f0": "a"}}
    assert encode(schemas.find("B"), {"f0": {"f0": 1}}) == {"f0": {"f0": 1}}


def test_a_version_of_an_event_type_has_a_schema_of_its_own() -> None:
    schemas = load_schemas({"A": record("A", "int"), "A.v2": record("A", "string")})
    assert encode(schemas.find("A", 2), {"f0": "a"}) == {"f0": "a"}
    assert encode(schemas.find("A", 1), {"f0": 1}) == {"f0": 1}
    with pytest.raises(EventTypeUnknown):
        load_schemas({"A.v2": record("A")}).find("A", 1)


def test_a_type_may_refer_to_itself_and_names_are_found_in_their_namespace() -> None:
    inner = {"type": "enum", "name": "State", "symbols": ["A"], "namespace": "other"}
    schema = record("Node", inner, ["null", "Node"], "other.State", namespace="com.example")
    node = load_schemas({"Node": schema}).find("Node")
    end = {"f0": "A", "f1": None, "f2": "A"}
    assert encode(node, {**end, "f1": end}) == {**end, "f1": end}


def test_a_schema_may_be_a_file_or_a_mapping(tmp_path: Path) -> None:
    write(tmp_path, a=record("A", "int"))
    schemas = load_schemas({"a-type": tmp_path / "a.avsc", "b": record("B"), "again": record("B")})
    assert encode(schemas.find("a-type"), {"f0": 1}) == {"f0": 1}
    assert encode(schemas.find("again"), {}) == {}


_TWICE = {"type": "fixed", "name": "F", "size": 1}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (["string"], "the outer type is not a record"),
        ({"type": "enum", "name": "E", "symbols": []}, "the outer type is not a record"),
        ({"type": "record", "fields": []}, "a type record has no name that is valid in Avro"),
        ({"type": "record", "name": "1", "fields": []}, "has no name that is valid"),
        ({"type": "record", "name": "R"}, "record R has no list of fields"),
        (
            {"type": "record", "name": "R", "fields": [{"name": "a"}]},
            "without a valid name or a ty",
        ),
        (
            {"type": "record", "name": "R", "fields": [{"name": "a b", "type": "int"}]},
            "without a v",
        ),
        (
            {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2},
            "record R has field a twice",
        ),
        (record("R", "Missing", namespace="n"), "type n.Missing is not defined before it is used"),
        (record("R", _TWICE, _TWICE), "type F is defined twice"),
        (record("R", ["int", "int"]), "a union has several branches named int"),
        (record("R", ["int", ["string"]]), "a union stands directly inside a union"),
        (record("R", {"type": "enum", "name": "E"}), "enum E has no list of symbols"),
        (record("R", {"type": "fixed", "name": "F", "size": 0}), "fixed F has no size"),
        (record("R", {"type": "bytes", "logicalType": "decimal"}), "a decimal needs a precision"),
        (
            record("R", {**_TWICE, "logicalType": "decimal", "precision": 3}),
            "fixed F is too small for its precision",
        ),
        (record("R", 5), "a type is neither a name nor an object with a type"),
        (record("R", {"items": "int"}), "a type is neither a name nor an object with a type"),
    ],
)
def test_what_is_not_a_schema_is_refused(schema: Json, expected: str) -> None:
    with pytest.raises(SchemaMistaken, match=f"^R: .*{expected}"):
        load_schemas({"R": schema})


def test_a_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutboxMistaken, match=r"has no \.avsc file"):
        load_schemas(tmp_path)
    path = tmp_path / "a.avsc"
    path.write_text("{")
    with pytest.raises(SchemaMistaken, match=r"a\.avsc is not JSON"):
        load_schemas(tmp_path)
    write(tmp_path, a=record("A", "Missing"))
    with pytest.raises(SchemaMistaken, match=r"a\.avsc: type Missing is not defined before"):
        load_schemas(tmp_path)
    write(tmp_path, a=record("A"), b=record("n.A"))
    with pytest.raises(SchemaMistaken, match=r"a\.avsc and .*b\.avsc both define event type A"):
        load_schemas(tmp_path)

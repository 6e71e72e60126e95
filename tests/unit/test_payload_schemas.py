"""What is no schema of a payload is refused before any event; defaults are encoded by it."""

import pytest

from cdc_sidecar.events.payload.plan import SchemaMistaken, compile_payload
from tests.unit.test_payload import decode, encode


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ('"string"', "not a record"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "Missing"}]}',
            "Missing",
        ),
        ('{"type": "record", "name": "1", "fields": []}', "not a valid Avro name"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": ["int", "int"]}]}',
            "already in Union",
        ),
        (
            '{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":""}]}',
            "int",
        ),
        ('{"type": "record", "name": "R"}', "fields"),
        (
            (
                '{"type": "record", "name": "R", "fields": [{"name": "a", "type": {'
                '"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 5}}]}'
            ),
            "scale must be less",
        ),
    ],
)
def test_a_text_that_is_no_schema_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SchemaMistaken, match=reason):
        compile_payload(text)


def test_the_default_of_a_record_may_lack_fields_whose_type_stands_anywhere() -> None:
    inner = {"type": "record", "name": "B", "fields": [{"name": "x", "type": "int", "default": 1}]}
    late = {"type": "record", "name": "C", "fields": [{"name": "b", "type": "B", "default": {}}]}
    fields = [{"name": "b", "type": inner}, {"name": "c", "type": late, "default": {}}]
    schema = {"type": "record", "name": "A", "fields": fields}
    value = decode(schema, encode(schema, b'{"b": {"x": 5}}'))
    assert value == {"b": {"x": 5}, "c": {"b": {"x": 1}}}


def test_the_default_of_a_union_has_no_tag() -> None:
    union = [{"type": "map", "values": "int"}, "int"]
    field = {"name": "f", "type": union, "default": {"int": 5}}
    schema = {"type": "record", "name": "A", "fields": [field]}
    assert decode(schema, encode(schema, b"{}")) == {"f": {"int": 5}}
    assert decode(schema, encode(schema, b'{"f": {"int": 5}}')) == {"f": 5}

"""Schemas have the contract's golden form, and their ids depend on their content alone."""

import json
from pathlib import Path

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.events.schema import (
    BYTES,
    STRING,
    SchemaId,
    canonical_json,
    envelope_schema,
    key_schema,
    message_key_schema,
    message_schema,
    schema_id,
    wire_prefix,
)
from tests.unit import shop

_GOLDEN = Path(__file__).parent.parent / "golden"
_NAMESPACE = "shop.public.orders"
_ORDERS = shop.compiled(shop.ORDERS)


def _golden(name: str) -> str:
    """Return a golden file, on one line."""
    return json.dumps(json.loads((_GOLDEN / name).read_text()))


def test_the_key_schema_is_the_contracts_with_the_order_of_its_attributes() -> None:
    assert json.dumps(key_schema(_NAMESPACE, _ORDERS.key_fields)) == _golden("example-key.avsc")


def test_the_value_schema_is_the_contracts_with_the_order_of_its_attributes() -> None:
    assert json.dumps(envelope_schema(_NAMESPACE, _ORDERS.fields)) == _golden("example-value.avsc")


@pytest.mark.parametrize("name", ["example-key.avsc", "example-value.avsc"])
def test_the_golden_schemas_are_legal_avro(name: str) -> None:
    fastavro.parse_schema(json.loads(_golden(name)))


@pytest.mark.parametrize("schema", [message_key_schema(), message_schema()])
def test_the_schemas_of_logical_messages_are_legal_avro(schema: dict[str, object]) -> None:
    fastavro.parse_schema(schema)


def test_the_ids_of_the_golden_schemas_never_change() -> None:
    key = canonical_json(json.loads(_golden("example-key.avsc")))
    value = canonical_json(json.loads(_golden("example-value.avsc")))
    assert schema_id(key) == 328104067
    assert schema_id(value) == 1525232954
    assert schema_id(STRING) == 1962074340
    assert schema_id(BYTES) == 1299350484


def test_the_order_of_attributes_and_white_space_do_not_change_an_id() -> None:
    shuffled = json.loads('{ "type":"record", "name":"é", "fields":[] }')
    ordered = json.loads('{"fields": [], "name": "é", "type": "record"}')
    assert (
        canonical_json(shuffled)
        == canonical_json(ordered)
        == ('{"fields":[],"name":"é","type":"record"}')
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_id_is_31_bits_and_fits_the_frame(canonical: str) -> None:
    identifier = schema_id(canonical)
    assert 0 <= identifier < 2**31
    assert wire_prefix(identifier) == b"\x00" + identifier.to_bytes(4, "big")


def test_the_frame_is_confluents() -> None:
    assert wire_prefix(SchemaId(258)) == b"\x00\x00\x00\x01\x02"

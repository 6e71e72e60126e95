"""The JSON of an event means the same to the sidecar, or the event is refused with the path."""

import io
import json
import os
from datetime import timezone
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from cdc_sidecar_client.payload.encode import encode, spell
from cdc_sidecar_client.payload.misfit import Misfit
from cdc_sidecar_client.payload.schemas import load_schemas
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_sidecar.events.payload.encode import encode_payload
from cdc_sidecar.events.payload.json_text import PayloadMisfit
from cdc_sidecar.events.payload.plan import compile_payload
from tests.unit import avro_schemas
from tests.unit.client_values import schemas_with_python_values
from tests.unit.test_payload import FITS, ORDER, decode

Json = Any
EXAMPLES = int(os.environ.get("TWIN_EXAMPLES", "100"))
UTC = timezone.utc  # noqa: UP017 - as in Python 3.10
manyfold = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)


def written(schema: Json, value: Json) -> str:
    """Return the JSON that the client writes for an event."""
    return spell(encode(load_schemas({"E": schema}).find("E"), value))


def sent(schema: Json, value: Json) -> bytes:
    """Return the Avro that the sidecar makes of it."""
    return encode_payload(compile_payload(json.dumps(schema)), written(schema, value).encode())


def one_field(kind: Json, value: Json) -> Json:
    """Return the JSON of the only field of a record; the sidecar accepts it."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
    sent(schema, {"f": value})
    return json.loads(written(schema, {"f": value}))["f"]


def refusal(kind: Json, value: Json) -> str:
    """Return the path and the reason for which a field is refused."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
    with pytest.raises(Misfit) as refused:
        written(schema, {"f": value})
    return f"{refused.value.path} {refused.value.reason}"


# --- fastavro and the sidecar as oracles


@manyfold
@given(st.data())
def test_an_event_is_sent_as_fastavro_writes_it(data: st.DataObject) -> None:
    schema, values = data.draw(schemas_with_python_values())
    value = data.draw(values)
    expected = io.BytesIO()
    fastavro.schemaless_writer(expected, schema, value)
    ours, theirs = sent(schema, value), expected.getvalue()
    # fastavro writes a decimal of -128 in two bytes, of which the first only repeats the sign
    assert ours == theirs or decode(schema, ours) == decode(schema, theirs)
    assert len(ours) <= len(theirs)


def test_a_decimal_is_sent_in_as_few_bytes_as_its_sign_allows() -> None:
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
    assert sent(schema, {"f": Decimal("-1.28")}) == b"\x02\x80"
    assert sent(schema, {"f": Decimal("1.28")}) == b"\x04\x00\x80"


@manyfold
@given(st.data())
def test_json_that_was_read_is_sent_as_the_sidecar_reads_it(data: st.DataObject) -> None:
    schema, values = data.draw(avro_schemas.schemas_with_values())
    value = data.draw(values)
    text = avro_schemas.spell(value)
    assert sent(schema, value) == encode_payload(compile_payload(json.dumps(schema)), text)


_PARTS = [
    '"f0":', '"f1":', "{", "}", "[", "]", ",", '"a"', '"\\ud800"', "1", "-0", "1.5", "1e9", "null",
    "true", '"2024-01-01"', '"2024-02-30"', '"12.50"', '"é"', "2147483648", '"NaN"', '{"string":',
    '{"long":', '"23:59:60"', "1e999", '"2024-01-01T00:00:00"',
]  # fmt: skip
_PIECES = st.lists(st.sampled_from(_PARTS), max_size=6)


@manyfold
@given(st.data())
def test_the_client_refuses_what_the_sidecar_refuses_and_nothing_else(data: st.DataObject) -> None:
    schema, values = data.draw(avro_schemas.schemas_with_values())
    text = avro_schemas.spell(data.draw(values)).decode()
    at = data.draw(st.integers(0, len(text)))
    until = data.draw(st.integers(at, min(len(text), at + 12)))
    changed = text[:at] + "".join(data.draw(_PIECES)) + text[until:]
    try:
        value = json.loads(changed, parse_float=Decimal, object_pairs_hook=_without_repetition)
    except ValueError:
        return  # not JSON, or an object that Python cannot hold
    assert _bytes_or_none(lambda: sent(schema, value)) == _bytes_or_none(
        lambda: encode_payload(compile_payload(json.dumps(schema)), changed.encode())
    )


def _without_repetition(members: list[tuple[str, Json]]) -> Json:
    found = dict(members)
    if len(found) != len(members):
        message = "a member is repeated"
        raise ValueError(message)
    return found


def _bytes_or_none(call: Any) -> bytes | None:  # noqa: ANN401 - a function
    try:
        return bytes(call())
    except (Misfit, PayloadMisfit):
        return None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lines": [{"sku": "a"}]}, "$.lines[0].quantity is missing and has no default"),
        (
            {"lines": [FITS["lines"][0], {"sku": 3, "quantity": 1}]},
            "$.lines[1].sku is a number, but the schema has string",
        ),
        ({"lines": {}}, "$.lines is an object, but the schema has array"),
        ({"colour": "red"}, "$.colour is not a field of record com.example.OrderPlaced"),
        ({"not a name": 1}, "$[a name] is not a field of record com.example.OrderPlaced"),
        ({"state": "PAID"}, "$.state is not a symbol of enum com.example.State: NEW, OLD"),
        ({"count": 2**31}, "$.count is out of the range of int"),
        ({"count": True}, "$.count is a boolean, but the schema has int"),
        ({"total": "12345.00"}, "$.total has more digits than decimal(6, 2)"),
        ({"total": "twelve"}, "$.total does not spell a number of decimal(6, 2)"),
        ({"note": 3}, "$.note is a number, but the schema has string"),
        (
            {"prices": {"a": 1, "b": "dear"}},
            "$.prices[member 1] is a string, but the schema has double",
        ),
    ],
)
def test_the_words_of_a_refusal_are_those_of_the_sidecar(
    change: dict[str, Any], expected: str
) -> None:
    value = FITS | change
    with pytest.raises(Misfit) as refused:
        written(ORDER, value)
    assert f"{refused.value.path} {refused.value.reason}" == expected
    with pytest.raises(PayloadMisfit) as by_sidecar:
        encode_payload(compile_payload(json.dumps(ORDER)), json.dumps(value).encode())
    assert f"{by_sidecar.value.path} {by_sidecar.value.reason}" == expected

"""The operation of an array writes what fastavro reads back, or refuses by kind."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.events import values
from cdc_sidecar.events.binary import encode_bytes
from cdc_sidecar.events.values import ValueRefused
from tests.unit.avro_values import INT64, read_value

_TEXT_ARRAY = {"type": "array", "items": ["null", "string"]}


def _spell_array(items: list[str | None], delimiter: str = ",") -> bytes:
    """Spell an array as Postgres does, always quoting."""
    spelled = (
        "NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for item in items
    )
    return ("{" + delimiter.join(spelled) + "}").encode()


@given(st.lists(st.none() | st.text(st.sampled_from('ab",\\{}; N\néNULL'), max_size=8), max_size=8))
@example(["NULL", None, "null", "", '"', "\\", ",", "{}", 'a\\"b,', "\n"])
def test_an_array_of_text_is_read_back(items: list[str | None]) -> None:
    operation = values.array_operation(encode_bytes, ",")
    assert read_value(_TEXT_ARRAY, operation(_spell_array(items))) == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (b"{}", []),
        (b"{NULL}", [None]),
        (b'{"NULL"}', ["NULL"]),
        (b"{null}", ["null"]),
        (b'{a b,"c d",e}', ["a b", "c d", "e"]),
        (b'{"",x}', ["", "x"]),
        (rb'{"a\"b","c\\d","{e}","f,g"}', ['a"b', "c\\d", "{e}", "f,g"]),
    ],
)
def test_an_array_is_read_as_postgres_spells_it(text: bytes, items: list[str | None]) -> None:
    assert read_value(_TEXT_ARRAY, values.array_operation(encode_bytes, ",")(text)) == items


@given(st.lists(st.none() | INT64, max_size=20))
def test_an_array_of_numbers_is_read_back(numbers: list[int | None]) -> None:
    text = "{" + ",".join("NULL" if n is None else str(n) for n in numbers) + "}"
    schema = {"type": "array", "items": ["null", "long"]}
    operation = values.array_operation(values.encode_integer, ",")
    assert read_value(schema, operation(text.encode())) == numbers


def test_an_array_of_a_type_with_another_delimiter_is_split_there() -> None:
    boxes = values.array_operation(encode_bytes, ";")
    assert read_value(_TEXT_ARRAY, boxes(b"{(1,1),(0,0);(2,2),(1,1)}")) == [
        "(1,1),(0,0)",
        "(2,2),(1,1)",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{{1,2},{3,4}}", "more than one dimension"),
        (b"{{{1}}}", "more than one dimension"),
        (b"[0:1]={1,2}", "bounds do not begin at 1"),
        (b"[2:2][1:1]={{1}}", "bounds do not begin at 1"),
        (b"{1,2", "an unknown form"),
        (b"{1,2}}", "an unknown form"),
        (b"{1,,2}", "an unknown form"),
        (b'{"a}', "an unknown form"),
        (b"1,2", "more than one dimension"),
        (b"{", "an unknown form"),
        (b"{1,", "an unknown form"),
    ],
)
def test_an_array_that_avro_or_we_cannot_hold_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueRefused, match=reason):
        values.array_operation(encode_bytes, ",")(text)


def test_what_an_element_refuses_the_array_refuses() -> None:
    with pytest.raises(ValueRefused, match="NaN or an infinity"):
        values.array_operation(values.decimal_operation(2), ",")(b"{1.00,NaN}")

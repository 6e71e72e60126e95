"""A text is scanned eight bytes at a time: a letter means the same at each of their places."""

import json

import pytest

from cdc_sidecar.events.payload.json_text import PayloadMisfit
from tests.unit.test_payload import one_field


@pytest.mark.parametrize("before", range(18))
@pytest.mark.parametrize("letter", ['"', "\\", "\n", "\x7f", " ", "é", "\x01", "\U0001f600"])
def test_a_letter_means_the_same_wherever_it_stands(before: int, letter: str) -> None:
    for after in range(10):
        text = "x" * before + letter + "y" * after
        escaped = json.dumps(text, ensure_ascii=after % 2 == 0).encode()
        assert one_field("string", escaped) == text


@pytest.mark.parametrize("before", range(18))
@pytest.mark.parametrize("letter", [b"\x00", b"\x1f", b"\x80", b"\xff", b"\\x", b"\\u00g0"])
def test_a_byte_that_no_text_may_have_is_refused_wherever_it_stands(
    before: int, letter: bytes
) -> None:
    for after in range(10):
        with pytest.raises(PayloadMisfit):
            one_field("string", b'"' + b"x" * before + letter + b"y" * after + b'"')

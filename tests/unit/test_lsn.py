"""LSNs have the form that Postgres writes, and no other text is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.postgres.lsn import ZERO, format_lsn, parse_lsn


@given(st.integers(0, 2**64 - 1))
def test_an_lsn_that_is_written_and_read_is_the_same(number: int) -> None:
    assert parse_lsn(format_lsn(number)) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0/0", ZERO),
        ("0/15293B8", 0x15293B8),
        ("16/B374D848", 0x16_B374D848),
        ("FFFFFFFF/FFFFFFFF", 2**64 - 1),
        ("ab/c", 0xAB_0000000C),
    ],
)
def test_an_lsn_is_read_as_two_hexadecimal_halves(text: str, number: int) -> None:
    assert parse_lsn(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "/", "0/", "/0", "-1/0", "0/-1", "0x1/0", "0/1_0", "1/2/3", "G/0", " 0/0",
             "123456789/0", "0/123456789"]
)  # fmt: skip
def test_a_text_that_is_not_an_lsn_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an LSN"):
        parse_lsn(text)

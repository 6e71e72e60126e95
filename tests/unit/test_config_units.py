"""Durations and sizes are written with their unit."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.config.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("250us", 0.00025), ("2ms", 0.002), ("30s", 30), ("5m", 300), ("1.5h", 5400), ("1 d", 86400)],
)
def test_durations_are_written_with_their_unit(written: str, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "size"),
    [("1B", 1), ("512kB", 512_000), ("16MB", 16_000_000), ("2GB", 2 * 10**9), ("1KiB", 1024),
     ("1.5 MiB", 1_572_864), ("1GiB", 2**30)],
)  # fmt: skip
def test_sizes_are_written_with_their_unit(written: str, size: int) -> None:
    assert parse_size(written) == size


@given(
    st.one_of(st.integers(), st.floats(), st.none(), st.from_regex(r"[^0-9]{0,8}", fullmatch=True))
)
def test_a_value_without_a_number_and_a_unit_is_refused(written: object) -> None:
    for parse in (parse_duration, parse_size):
        with pytest.raises(ValueError, match="with a unit"):
            parse(written)


@given(st.text("0123456789 .smhdkMGBi", max_size=8))
def test_a_number_with_a_unit_is_read_or_refused_and_nothing_else(written: str) -> None:
    for parse in (parse_duration, parse_size):
        with suppress(ValueError):
            assert parse(written) >= 0

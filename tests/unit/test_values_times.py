"""Every operation of a date or a time writes what fastavro reads back, or refuses by kind."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.events import values
from cdc_sidecar.events.values import Operation, ValueRefused
from tests.unit.avro_values import logical_type, read_value

_TIMESTAMPTZ = logical_type("long", "timestamp-micros")
_TIMESTAMP = logical_type("long", "local-timestamp-micros")


@given(st.dates())
@example(date.min)
@example(date.max)
@example(date(1970, 1, 1))
@example(date(2000, 2, 29))
def test_a_date_is_read_back(day: date) -> None:
    written = values.encode_date(day.isoformat().encode())
    assert read_value(logical_type("int", "date"), written) == day


@pytest.mark.parametrize(
    ("text", "days"),
    [
        (b"infinity", 2**31 - 1),
        (b"-infinity", -(2**31)),
        (b"0001-12-31 BC", -719163),
        (b"0001-01-01 BC", -719528),
        (b"4714-11-24 BC", -2440588),
        (b"10000-01-01", 2932897),
        (b"5874897-12-31", 2145042905),
    ],
)
def test_a_date_beyond_what_python_holds_is_counted_in_days(text: bytes, days: int) -> None:
    assert read_value("int", values.encode_date(text)) == days


@given(st.dates(), st.integers(-3, 3))
def test_days_are_counted_alike_in_every_400_years(day: date, cycles: int) -> None:
    days = values.days_from_civil(day.year + 400 * cycles, day.month, day.day)
    assert days == day.toordinal() - date(1970, 1, 1).toordinal() + 146097 * cycles


@given(st.times())
@example(time.max)
def test_a_time_is_read_back(moment: time) -> None:
    written = values.encode_time(moment.isoformat().encode())
    assert read_value(logical_type("long", "time-micros"), written) == moment


def test_midnight_at_the_end_of_a_day_is_a_whole_day() -> None:
    assert read_value("long", values.encode_time(b"24:00:00")) == 86_400_000_000


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (b"12:00:00+00", "12:00:00+00:00"),
        (b"12:00:00.5-08", "12:00:00.5-08:00"),
        (b"12:00:00+05:30", "12:00:00+05:30"),
        (b"24:00:00-15:59:59", "24:00:00-15:59:59"),
    ],
)
def test_a_time_with_zone_is_iso_text_with_the_minutes_of_its_offset(
    text: bytes, spelled: str
) -> None:
    assert read_value("string", values.encode_timetz(text)) == spelled


@given(st.datetimes())
@example(datetime.min)  # noqa: DTZ901 - a local timestamp has no zone
@example(datetime.max)  # noqa: DTZ901 - as above
def test_a_timestamp_is_read_back(moment: datetime) -> None:
    text = moment.isoformat(" ").encode()
    assert read_value(_TIMESTAMP, values.encode_timestamp(text)) == moment
    instant = moment.replace(tzinfo=UTC)
    assert read_value(_TIMESTAMPTZ, values.encode_timestamptz(text + b"+00")) == instant


@given(st.datetimes(min_value=datetime(2, 1, 1)), st.integers(-15 * 60, 15 * 60))  # noqa: DTZ001 - as above
def test_a_timestamp_with_zone_is_the_same_instant_in_every_zone(
    moment: datetime, minutes: int
) -> None:
    hours, rest = divmod(abs(minutes), 60)
    zone = f"{'-' if minutes < 0 else '+'}{hours:02d}" + (f":{rest:02d}" if rest else "")
    text = moment.isoformat(" ") + zone
    instant = moment - timedelta(minutes=minutes) - datetime(1970, 1, 1)  # noqa: DTZ001 - as above
    expected = instant // timedelta(microseconds=1)
    assert read_value("long", values.encode_timestamptz(text.encode())) == expected


_BOTH_TIMESTAMPS = pytest.mark.parametrize(
    ("operation", "zone"),
    [(values.encode_timestamp, b""), (values.encode_timestamptz, b"+00")],
)


@_BOTH_TIMESTAMPS
@pytest.mark.parametrize(
    ("moment", "era", "microseconds"),
    [
        (b"0001-12-31 23:59:59.999999", b" BC", -62_135_596_800_000_001),
        (b"4714-11-24 00:00:00", b" BC", -2440588 * 86_400_000_000),
        (b"10000-01-01 00:00:00", b"", 253_402_300_800_000_000),
        (b"294247-01-10 04:00:54.775806", b"", 2**63 - 2),
    ],
)
def test_a_timestamp_beyond_what_python_holds_is_counted_in_microseconds(
    operation: Operation, zone: bytes, moment: bytes, era: bytes, microseconds: int
) -> None:
    assert read_value("long", operation(moment + zone + era)) == microseconds


@_BOTH_TIMESTAMPS
def test_the_infinities_of_time_are_the_ends_of_64_bits(operation: Operation, zone: bytes) -> None:
    del zone  # infinity has none
    assert read_value("long", operation(b"infinity")) == 2**63 - 1
    assert read_value("long", operation(b"-infinity")) == -(2**63)


@_BOTH_TIMESTAMPS
@pytest.mark.parametrize(
    "moment", [b"294247-01-10 04:00:54.775807", b"294247-01-11 00:00:00", b"294276-12-31 23:59:59"]
)
def test_a_timestamp_at_or_beyond_the_infinities_is_refused(
    operation: Operation, zone: bytes, moment: bytes
) -> None:
    with pytest.raises(ValueRefused, match="beyond 64 bits"):
        operation(moment + zone)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (values.encode_date, b"02/29/2024"),
        (values.encode_date, b"epoch"),
        (values.encode_time, b"9 o'clock"),
        (values.encode_timestamp, b"29.02.2024 10:00:00"),
        (values.encode_timestamp, b"2024-02-29 10:00:00+00"),
        (values.encode_timestamptz, b"2024-02-29 10:00:00"),
        (values.encode_timestamp, b"10000-01-01 00:00:00+00"),
        (values.encode_timestamptz, b"10000-01-01 00:00:00"),
        (values.encode_timestamptz, b"Thu Feb 29 10:00:00 2024 UTC"),
    ],
)
def test_a_form_of_date_or_time_that_was_not_pinned_is_refused(
    operation: Operation, text: bytes
) -> None:
    with pytest.raises(ValueRefused, match="other than ISO"):
        operation(text)

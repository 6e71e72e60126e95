"""Values of every type that the tests insert, with the text that Postgres shows for each."""

import json
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Any

from hypothesis import strategies as st

Inputs = st.SearchStrategy[str]
_AS_TEXT = "{}::text"
# the cast trims a char's blanks and always writes an inet's mask
_OUTPUT = "CASE WHEN {0} IS NOT NULL THEN format('%s', {0}) END"


@dataclass(frozen=True)
class Case:
    """One column: its type, its inputs, Postgres' own text of a value, and how it is compared."""

    type: str
    inputs: Inputs
    edges: Sequence[str] = ()
    write: str = ""  # the expression that makes a value of the input
    oracle: str = _AS_TEXT
    expect: Callable[[Any], Any] = field(default=lambda shown: shown)
    since: int = 14  # the major version of Postgres that takes all of the inputs


def _float(shown: bytes) -> object:
    (number,) = struct.unpack(">f" if len(shown) == 4 else ">d", shown)
    return _spell(number)


def _spell(number: float | None) -> object:
    """Return a number as JSON can hold it: NaN and the infinities as text."""
    if number is None or (number == number and abs(number) != float("inf")):  # noqa: PLR0124 - NaN is unequal to itself
        return number
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(number)]


def _with_minutes(shown: str) -> str:
    return re.sub(r"([+-]\d\d)$", r"\1:00", shown)


def _integers(bits: int) -> Inputs:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(str)


def _integer_edges(bits: int) -> list[str]:
    return [str(-(2 ** (bits - 1))), str(2 ** (bits - 1) - 1), "0", "-1"]


def _integer(name: str, bits: int) -> Case:
    return Case(name, _integers(bits), _integer_edges(bits), oracle="{}")


def _array(element: Inputs) -> Inputs:
    """Spell arrays of at most one dimension, every element quoted."""

    def quote(item: str | None) -> str:
        escaped = (item or "").replace("\\", "\\\\").replace('"', '\\"')
        return "NULL" if item is None else f'"{escaped}"'

    return st.lists(st.none() | element, max_size=5).map(
        lambda items: "{" + ",".join(map(quote, items)) + "}"
    )


def _elements(expression: str) -> str:
    """Return the oracle of an array: `expression` of each of its elements, e."""
    ordered = f"SELECT {expression} FROM unnest({{0}}) WITH ORDINALITY AS u(e, i) ORDER BY i"
    return f"CASE WHEN {{0}} IS NOT NULL THEN ARRAY({ordered}) END"


_LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_TEXT = st.text(_LETTERS, max_size=30)
_TEXT_EDGES = [
    "",
    " ",
    "NULL",
    '"',
    "\\",
    "\\x41",
    "a\nb\tc",
    "🛒é",
    "x" * 10_000,
    "{}",
    "\x01\x7f",
]
_BYTES = st.binary(max_size=40).map(lambda content: "\\x" + content.hex())
_CENTS = st.integers(-(10**10) + 1, 10**10 - 1)
_PRICE = _CENTS.map(lambda cents: f"{cents}e-2")
_PRICE_EDGES = ["0", "-0.01", "99999999.99", "-99999999.99", "1.28", "-1.28", "-1.29", "2.55"]
_NUMBER = st.from_regex(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", fullmatch=True)
_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_REAL = st.floats(width=32).map(repr)
_REAL_EDGES = ["NaN", "Infinity", "-Infinity", "-0", "7.038531e-26", "3.4028235e38", "1e-45"]
_DOUBLE_EDGES = ["NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1"]
_WORD = st.text("abcxyzäß", min_size=1, max_size=8)
_FIRST_DAY, _LAST_DAY = -2451545, 2145031948  # 4714-11-24 BC and 5874897-12-31, from 2000-01-01
_LAST_STAMPED_DAY = 106741033  # 294247-01-09
_DAYS = st.integers(_FIRST_DAY, _LAST_DAY) | st.integers(-800_000, 20_000)
_SINCE_2000 = st.tuples(
    st.integers(_FIRST_DAY, _LAST_STAMPED_DAY) | st.integers(-800_000, 20_000),
    st.integers(0, 86_399_999_999),
).map(lambda pair: f"{pair[0]} days {pair[1]} microseconds")
_STAMP_EDGES = [f"{_FIRST_DAY} days", "-730120 days -1 microsecond", "106741034 days 14454775806 microseconds"]  # noqa: E501  # fmt: skip
_TIMES = st.times().map(time.isoformat)
_TIME_EDGES = ["00:00", "23:59:59.999999", "24:00:00", "12:00:00.5", "00:00:00.000001"]
_OFFSET = st.integers(-57599, 57599).map(
    lambda seconds: (
        f"{'-' if seconds < 0 else '+'}{abs(seconds) // 3600:02d}"
        f":{abs(seconds) // 60 % 60:02d}:{abs(seconds) % 60:02d}"
    )
)
_INTERVAL = st.tuples(
    st.integers(-(10**8), 10**8), st.integers(-(10**8), 10**8), st.integers(-(2**60), 2**60)
).map(lambda parts: "{} months {} days {} microseconds".format(*parts))
_INTERVAL_EDGES = ["0", "1 mon -1 day", "-1 year 2 mons -3 days 04:05:06.789", "00:00:00.000001"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _FINITE | st.text(_LETTERS, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORD, inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
_BITS = st.text("01", max_size=70)
_POINT = st.tuples(_FINITE, _FINITE).map("({0[0]!r},{0[1]!r})".format)
_SMALL_POINT = st.tuples(st.integers(-99, 99), st.integers(-99, 99)).map("({0[0]},{0[1]})".format)
_POINTS = st.lists(_SMALL_POINT, min_size=1, max_size=5)
_SPAN = st.tuples(st.sampled_from("[("), _integers(16), st.integers(0, 99), st.sampled_from("])"))
_RANGE = _SPAN.map(lambda s: f"{s[0]}{s[1]},{int(s[1]) + s[2]}{s[3]}")
_DATES = st.dates().map(str)
_ADDRESS = st.ip_addresses().map(str)
_LABELS = st.sampled_from(["sad", "o'k", 'très "bien", oui', "NULL"])
FAMILIES: dict[str, list[Case]] = {
    "numbers": [
        Case("boolean", st.sampled_from(["t", "f"]), oracle="{}"),
        _integer("smallint", 16),
        _integer("integer", 32),
        _integer("bigint", 64),
        Case("oid", st.integers(0, 2**32 - 1).map(str), ["4294967295"], oracle="{}::bigint"),
        Case("xid", st.integers(0, 2**32 - 1).map(str), oracle="{}::text::bigint"),
        Case("cid", st.integers(0, 2**32 - 1).map(str), oracle="{}::text::bigint"),
    ],
    "floats": [
        Case("real", _REAL, _REAL_EDGES, oracle="float4send({})", expect=_float),
        Case(
            "double precision",
            st.floats().map(repr),
            _DOUBLE_EDGES,
            oracle="float8send({})",
            expect=_float,
        ),
    ],
    "numerics": [
        Case("numeric(10,2)", _PRICE, _PRICE_EDGES),
        Case("numeric(10)", _integers(32), ["0", "-9999999999"]),
        Case(
            "numeric(5,5)", st.integers(-99999, 99999).map(lambda n: f"{n}e-5"), ["0", "-0.00001"]
        ),
        Case("numeric(1000,500)", _NUMBER, ["9" * 500 + "." + "9" * 500, "-1e-500"]),
        Case(
            "numeric(2,5)",
            st.integers(-99, 99).map(lambda n: f"{n}e-5"),
            ["NaN", "0"],
            since=15,
        ),
        Case("numeric(5,-2)", _integers(20), ["0", "-9999900"], since=15),
        Case("numeric", _NUMBER, ["NaN", "Infinity", "-Infinity", "9" * 1000, "1e-1000", "1.50"]),
        Case(
            "money",
            _integers(64).map("{}e-2".format),
            ["0", "-0.01", "-92233720368547758.08", "92233720368547758.07"],
            write="(%s::numeric)::money",
            oracle="{}::numeric::text",
        ),
    ],
    "texts": [
        Case("text", _TEXT, _TEXT_EDGES),
        Case("varchar(20)", st.text(_LETTERS, max_size=20), ["", "  "]),
        Case("char(5)", st.text(_LETTERS, max_size=5), ["", "ab "], oracle=_OUTPUT),
        Case('"char"', st.characters(codec="ascii", exclude_characters="\0"), [""]),
        Case("public.citext", _TEXT, _TEXT_EDGES),
        Case("name", st.text(_LETTERS, max_size=15), [""]),
        Case("public.mood", _LABELS),
        Case("bytea", _BYTES, ["\\x", "\\x00ff5c"], oracle="encode({}, 'hex')"),
        Case("json", _JSON, ['{"a" :  1, "a":2}', "null", '"\\u0000"']),
        Case("jsonb", _JSON, ['{"a" :  1, "a":2}', "null", "1.50"]),
        Case("uuid", st.uuids().map(str)),
        Case(
            "public.ltree",
            st.lists(st.text("abc_19", min_size=1, max_size=5), max_size=4).map(".".join),
        ),
    ],
    "times": [
        Case(
            "date",
            _DAYS.map(str),
            [str(_FIRST_DAY), str(_LAST_DAY)],
            "'2000-01-01'::date + %s::int",
        ),
        Case("time", _TIMES, _TIME_EDGES),
        Case("time(2)", _TIMES, _TIME_EDGES),
        Case(
            "timetz",
            st.tuples(_TIMES, _OFFSET).map("".join),
            ["24:00:00+00", "00:00-15:59:59", "12:00+05:30", "12:00-08"],
            expect=_with_minutes,
        ),
        Case(
            "timestamp",
            _SINCE_2000,
            _STAMP_EDGES,
            "'2000-01-01'::timestamp + %s::interval",
            since=15,
        ),
        Case(
            "timestamptz",
            _SINCE_2000,
            _STAMP_EDGES,
            "'2000-01-01 UTC'::timestamptz + %s::interval",
            since=15,
        ),
        Case("timestamp(3)", _SINCE_2000, (), "'2000-01-01'::timestamp + %s::interval", since=15),
        Case("interval", _INTERVAL, _INTERVAL_EDGES, since=15),
        Case("interval day to second(3)", _INTERVAL, _INTERVAL_EDGES, since=15),
    ],
    "infinities": [
        Case("date", st.sampled_from(["infinity", "-infinity"])),
        Case("timestamp", st.sampled_from(["infinity", "-infinity"])),
        Case("timestamptz", st.sampled_from(["infinity", "-infinity"])),
        Case("interval", st.sampled_from(["infinity", "-infinity"]), since=17),
    ],
    "domains": [
        Case("public.price", _PRICE, _PRICE_EDGES),
        Case("public.net", _PRICE, _PRICE_EDGES),
        Case("public.prices", _array(_PRICE), ["{}", "{NULL}"], oracle="{}::text[]"),
        Case("public.net[]", _array(_PRICE), ["{}", "{NULL}"], oracle="{}::text[]"),
    ],
    "arrays": [
        Case("integer[]", _array(_integers(32)), ["{}", "{NULL}"], oracle="{}"),
        Case("bigint[]", _array(_integers(64)), oracle="{}"),
        Case("boolean[]", _array(st.sampled_from("tf")), oracle="{}"),
        Case(
            "text[]", _array(_TEXT), ["{}", '{NULL,"NULL",null,""}', '{"a\\"b",c d}'], oracle="{}"
        ),
        Case("varchar(9)[]", _array(st.text(_LETTERS, max_size=9)), oracle="{}"),
        Case("public.mood[]", _array(_LABELS), oracle="{}::text[]"),
        Case("numeric(10,2)[]", _array(_PRICE), oracle="{}::text[]"),
        Case("numeric[]", _array(_NUMBER), ["{NaN,1.50}"], oracle="{}::text[]"),
        Case("date[]", _array(_DATES), ["{infinity,0044-03-15 BC}"], oracle="{}::text[]"),
        Case("timestamptz[]", _array(_DATES), ["{-infinity}"], oracle="{}::text[]"),
        Case("uuid[]", _array(st.uuids().map(str)), oracle="{}::text[]"),
        Case("bytea[]", _array(_BYTES), ['{"\\\\x"}'], oracle=_elements("encode(e, 'hex')")),
        Case("jsonb[]", _array(_JSON), oracle="{}::text[]"),
        Case("interval[]", _array(_INTERVAL), oracle="{}::text[]", since=15),
        Case(
            "box[]",
            st.lists(_POINTS.map(lambda p: p[0] + "," + p[-1]), max_size=3).map(
                lambda boxes: "{" + ";".join(boxes) + "}"
            ),
            oracle=_elements("e::text"),
        ),
        Case(
            "double precision[]",
            _array(st.floats().map(repr)),
            ["{NaN,-Infinity,-0}"],
            oracle="{}",
            expect=lambda shown: [_spell(number) for number in shown],
        ),
    ],
    "others": [
        Case("bit(8)", st.text("01", min_size=8, max_size=8)),
        Case("bit", st.sampled_from("01")),
        Case("varbit", _BITS, [""]),
        Case(
            "inet",
            _ADDRESS,
            ["10.0.0.1/8", "::1/64", "0.0.0.0/0"],
            oracle=_OUTPUT,
        ),
        Case("cidr", _ADDRESS, ["10.0.0.0/8", "2001:db8::/32"]),
        Case("macaddr", st.binary(min_size=6, max_size=6).map(bytes.hex)),
        Case("macaddr8", st.binary(min_size=8, max_size=8).map(bytes.hex)),
        Case("pg_lsn", st.tuples(*[st.integers(0, 2**32 - 1)] * 2).map("{0[0]:X}/{0[1]:X}".format)),
        Case("int4range", _RANGE, ["empty", "(,)", "[1,)"]),
        Case(
            "tstzrange",
            st.tuples(_DATES, _DATES).map(sorted).map("[{0[0]},{0[1]})".format),
            ["empty"],
        ),
        Case("int4multirange", st.lists(_RANGE, max_size=4).map(lambda r: "{" + ",".join(r) + "}")),
        Case("tsvector", st.lists(_WORD, max_size=5).map(" ".join), ["'a b':1A,2 c", ""]),
        Case("tsquery", st.lists(_WORD, min_size=1, max_size=4).map(" & ".join), [""]),
        Case("txid_snapshot", st.just("10:20:10,14,15")),
    ],
    "geometry": [
        Case("point", _POINT, ["(NaN,Infinity)", "(-0,0)"]),
        Case("box", _POINTS.map(lambda p: p[0] + "," + p[-1])),
        Case("lseg", _POINTS.map(lambda p: f"[{p[0]},{p[-1]}]")),
        Case("path", _POINTS.map(lambda p: "[" + ",".join(p) + "]")),
        Case("polygon", _POINTS.map(lambda p: "(" + ",".join(p) + ")")),
        Case("circle", _SMALL_POINT.map("<{},5>".format)),
        Case("line", st.tuples(st.integers(1, 9), _integers(8)).map("{{{0[0]},{0[1]},0}}".format)),
    ],
}

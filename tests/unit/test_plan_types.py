"""Each type of Postgres has the Avro type that the contract gives it."""

import pytest

from cdc_sidecar.events.binary import encode_bytes
from cdc_sidecar.events.plan import compile_plan
from cdc_sidecar.events.values import ValueRefused, encode_timestamptz_iso
from cdc_sidecar.postgres.types import Builtin, TypeFacts, TypeKind, decimal_of
from tests.unit import shop
from tests.unit.shop import BIGINT, TEXT, TIMESTAMPTZ, compiled, layout


def _scalar(builtin: Builtin, name: str, modifier: int = -1) -> TypeFacts:
    return TypeFacts(builtin.value, modifier, name, name, TypeKind.BASE)


def _numeric(precision: int, scale: int) -> TypeFacts:
    return _scalar(Builtin.NUMERIC, "numeric", (precision << 16 | scale & 0x7FF) + 4)


def _avro(facts: TypeFacts, **more: object) -> dict[str, object]:
    described = layout("t", {"id": BIGINT, "v": facts}, key=("id",), **more)  # type: ignore[arg-type] # the parameters of a test
    return compiled(described).fields[1].type


_CONNECT_DECIMAL = "org.apache.kafka.connect.data.Decimal"


@pytest.mark.parametrize(
    ("builtin", "avro", "logical", "connect"),
    [
        (Builtin.BOOL, "boolean", None, None),
        (Builtin.INT2, "int", None, None),
        (Builtin.INT4, "int", None, None),
        (Builtin.INT8, "long", None, None),
        (Builtin.OID, "long", None, None),
        (Builtin.XID, "long", None, None),
        (Builtin.CID, "long", None, None),
        (Builtin.FLOAT4, "float", None, None),
        (Builtin.FLOAT8, "double", None, None),
        (Builtin.NUMERIC, "string", None, None),
        (Builtin.CHAR, "string", None, None),
        (Builtin.BPCHAR, "string", None, None),
        (Builtin.VARCHAR, "string", None, None),
        (Builtin.TEXT, "string", None, None),
        (Builtin.NAME, "string", None, None),
        (Builtin.XML, "string", None, None),
        (Builtin.BYTEA, "bytes", None, None),
        (Builtin.JSON, "string", None, "io.debezium.data.Json"),
        (Builtin.JSONB, "string", None, "io.debezium.data.Json"),
        (Builtin.UUID, "string", "uuid", "io.debezium.data.Uuid"),
        (Builtin.DATE, "int", "date", None),
        (Builtin.TIME, "long", "time-micros", "io.debezium.time.MicroTime"),
        (Builtin.TIMETZ, "string", None, "io.debezium.time.ZonedTime"),
        (Builtin.TIMESTAMP, "long", "local-timestamp-micros", "io.debezium.time.MicroTimestamp"),
        (Builtin.TIMESTAMPTZ, "long", "timestamp-micros", None),
        (Builtin.INTERVAL, "string", None, "io.debezium.time.Interval"),
        (Builtin.MONEY, "bytes", "decimal", _CONNECT_DECIMAL),
    ],
)
def test_a_type_is_what_the_contracts_table_says(
    builtin: Builtin, avro: str, logical: str | None, connect: str | None
) -> None:
    schema = _avro(_scalar(builtin, builtin.name.lower()))
    assert (schema["type"], schema.get("logicalType"), schema.get("connect.name")) == (
        avro,
        logical,
        connect,
    )
    assert schema.get("connect.version") == (1 if connect else None)


@pytest.mark.parametrize(("precision", "scale"), [(10, 2), (1, 0), (5, 5), (1000, 1000)])
def test_a_numeric_with_precision_and_scale_is_a_decimal(precision: int, scale: int) -> None:
    schema = _avro(_numeric(precision, scale))
    assert (schema["logicalType"], schema["precision"], schema["scale"]) == (
        "decimal",
        precision,
        scale,
    )
    assert schema["connect.parameters"] == {
        "scale": str(scale),
        "connect.decimal.precision": str(precision),
    }


@pytest.mark.parametrize(("precision", "scale"), [(2, 5), (5, -2), (1, -1000)])
def test_a_numeric_that_no_avro_decimal_can_be_is_text(precision: int, scale: int) -> None:
    assert decimal_of(_numeric(precision, scale).type_modifier) == (precision, scale)
    assert _avro(_numeric(precision, scale)) == {"type": "string"}


@pytest.mark.parametrize("scale", [0, 1, 3])
def test_money_without_two_fraction_digits_is_text(scale: int) -> None:
    assert _avro(_scalar(Builtin.MONEY, "money"), money_scale=scale) == {"type": "string"}


@pytest.mark.parametrize(
    "facts",
    [
        TypeFacts(16500, -1, "public.mood", "mood", TypeKind.ENUM),
        TypeFacts(16501, -1, "public.citext", "citext", TypeKind.BASE),
        TypeFacts(3904, -1, "int4range", "int4range", TypeKind.RANGE),
        TypeFacts(4451, -1, "int4multirange", "int4multirange", TypeKind.MULTIRANGE),
        TypeFacts(1560, 12, "bit(8)", "bit", TypeKind.BASE),
        TypeFacts(869, -1, "inet", "inet", TypeKind.BASE),
        TypeFacts(600, -1, "point", "point", TypeKind.BASE),
        TypeFacts(16502, -1, "public.whatever", "whatever", TypeKind.BASE),
    ],
)
def test_every_other_type_is_postgres_text(facts: TypeFacts) -> None:
    assert _avro(facts) == {"type": "string"}


def test_a_domain_is_its_base_type_under_its_own_name() -> None:
    inner = TypeFacts(16500, -1, "public.price", "price", TypeKind.DOMAIN, base=shop.TOTAL)
    outer = TypeFacts(16501, -1, "public.net", "net", TypeKind.DOMAIN, base=inner)
    assert _avro(outer) == _avro(shop.TOTAL)
    described = layout("t", {"id": BIGINT, "v": outer}, key=("id",))
    assert compiled(described).fields[1].postgres_type == "public.net"


def test_an_array_has_nullable_items_of_its_elements_type() -> None:
    array = TypeFacts(1009, -1, "text[]", "_text", TypeKind.ARRAY, base=TEXT)
    assert _avro(array) == {"type": "array", "items": ["null", "string"]}
    prices = TypeFacts(1231, 655366, "numeric(10,2)[]", "_n", TypeKind.ARRAY, base=shop.TOTAL)
    assert _avro(prices) == {"type": "array", "items": ["null", _avro(shop.TOTAL)]}


def test_a_plan_says_which_values_can_be_refused() -> None:
    array = TypeFacts(1231, -1, "timestamptz[]", "_t", TypeKind.ARRAY, base=TIMESTAMPTZ)
    described = layout(
        "t", {"id": BIGINT, "n": shop.TOTAL, "t": TIMESTAMPTZ, "a": array, "s": TEXT}, key=("id",)
    )
    overflow = "years 294247 to 294276"
    assert [column.refuses for column in compiled(described).sent] == [
        "",
        "NaN and the infinities",
        overflow,
        f"arrays of several dimensions or odd bounds; {overflow}",
        "",
    ]


def test_as_text_and_masks_refuse_nothing() -> None:
    plan = compiled(shop.ORDERS, column={"total": {"as": "text"}, "placed_at": {"mask": "hash"}})
    assert [column.refuses for column in plan.sent] == [""] * 4


def test_a_smallint_is_a_short_for_kafka_connect() -> None:
    assert _avro(_scalar(Builtin.INT2, "smallint"))["connect.type"] == "int16"


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        (b"2024-02-29 10:11:12+00", b"2024-02-29T10:11:12Z"),
        (b"2024-02-29 10:11:12.5+00", b"2024-02-29T10:11:12.5Z"),
        (b"0001-01-01 00:00:00+00", b"0001-01-01T00:00:00Z"),
        (b"10000-01-01 00:00:00.000001+00", b"+10000-01-01T00:00:00.000001Z"),
        (b"294276-12-31 23:59:59.999999+00", b"+294276-12-31T23:59:59.999999Z"),
        (b"0001-12-31 23:59:59+00 BC", b"0000-12-31T23:59:59Z"),
        (b"0044-03-15 12:00:00+00 BC", b"-0043-03-15T12:00:00Z"),
        (b"4714-11-24 00:00:00+00 BC", b"-4713-11-24T00:00:00Z"),
        (b"infinity", b"infinity"),
        (b"-infinity", b"-infinity"),
    ],
)
def test_a_timestamptz_as_iso_is_what_debezium_sends(text: bytes, iso: bytes) -> None:
    described = layout("t", {"id": BIGINT, "v": TIMESTAMPTZ}, key=("id",))
    column = compiled(described, column={"v": {"as": "iso"}}).sent[1]
    assert column.field.type["connect.name"] == "io.debezium.time.ZonedTimestamp"
    assert column.operation(text) == encode_bytes(iso)


@pytest.mark.parametrize("text", [b"2024-02-29 10:11:12", b"2024-02-29 10:11:12+02", b"x"])
def test_iso_text_is_made_of_an_instant_in_utc_alone(text: bytes) -> None:
    with pytest.raises(ValueRefused, match="other than ISO"):
        encode_timestamptz_iso(text)


def test_iso_is_for_timestamptz_only_and_the_refusal_says_how_to_go_on() -> None:
    described = layout("t", {"id": BIGINT, "v": TEXT}, key=("id",))
    plan, mistakes = compile_plan(
        described.relation, described.facts, shop.table("public.t", column={"v": {"as": "iso"}})
    )
    assert plan is None
    assert "only timestamptz" in mistakes[0]
    assert 'remove as = "iso" from [tables.column.v]' in mistakes[0]

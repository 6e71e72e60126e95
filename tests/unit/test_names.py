"""Names of Postgres become legal names of Avro and Kafka, and can be read back."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_sidecar.events import names

_AVRO = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOPIC_PART = re.compile(r"[A-Za-z0-9_-]+")

_LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_LOOKALIKES = st.sampled_from(
    ["_", "x", "_x", "_x0041", "_x0041_", "0041", "é", "-", ".", "A", "1"]
)
_NAMES = st.one_of(
    st.text(_LETTERS, min_size=1, max_size=20),
    st.lists(_LOOKALIKES, min_size=1, max_size=8).map("".join),
)


@given(_NAMES)
@example("_x0041é")
@example("_x0041_")
@example("__x0041__x0041_")
@example("1st")
@example("🛒")
def test_an_avro_name_is_legal_and_can_be_read_back(name: str) -> None:
    escaped = names.avro_name(name)
    assert _AVRO.fullmatch(escaped)
    assert names.unescape(escaped) == name


@given(_NAMES)
@example("_x0041é")
@example("a.b")
def test_a_part_of_a_topic_is_legal_and_can_be_read_back(name: str) -> None:
    escaped = names.topic_part(name)
    assert _TOPIC_PART.fullmatch(escaped)
    assert names.unescape(escaped) == name


@given(_NAMES, _NAMES)
def test_two_names_never_become_one(one: str, other: str) -> None:
    if one != other:
        assert names.avro_name(one) != names.avro_name(other)
        assert names.topic_part(one) != names.topic_part(other)


@pytest.mark.parametrize("name", ["id", "placed_at", "Total", "_private", "x0041", "a_x", "a_x00"])
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    assert names.avro_name(name) == names.topic_part(name) == name


def test_illegal_characters_become_their_code_points() -> None:
    assert names.avro_name("größe") == "gr_x00F6__x00DF_e"
    assert names.avro_name("2nd price") == "_x0032_nd_x0020_price"
    assert names.topic_part("2nd price") == "2nd_x0020_price"
    assert names.avro_name("my-shop") == "my_x002D_shop"
    assert names.topic_part("my-shop") == "my-shop"
    assert names.topic_part("v1.orders") == "v1_x002E_orders"


def test_topics_and_namespaces_are_named_as_the_contract_says() -> None:
    assert names.table_topic("shop", "public", "orders") == "shop.public.orders"
    assert names.table_namespace("my-shop", "public", "orders") == "my_x002D_shop.public.orders"
    assert names.message_topic("shop") == "shop.message"
    assert names.position_topic("shop") == "_cdc.shop.position"
    assert names.schemas_topic("shop") == "_cdc.shop.schemas"

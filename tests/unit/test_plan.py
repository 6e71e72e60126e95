"""A table and its configuration make a plan, or all mistakes at once."""

from dataclasses import replace

import pytest

from cdc_sidecar.config.model import Table
from cdc_sidecar.events.plan import Circumstances, compile_plan
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.types import TypeFacts, TypeKind
from tests.unit import shop
from tests.unit.shop import BIGINT, DATE, INTEGER, TEXT, TIMESTAMPTZ, Layout, compiled, layout

_FULL = ReplicaIdentity.FULL
_LINES = layout("lines", {"note": TEXT, "line": INTEGER, "order": BIGINT}, key=("order", "line"))
_COMPOSITE = TypeFacts(16500, -1, "public.address", "address", TypeKind.COMPOSITE)
_HSTORE = TypeFacts(16501, -1, "public.hstore", "hstore", TypeKind.BASE)


def _mistakes(described: Layout, **settings: object) -> list[str]:
    config = shop.table(described.relation.qualified_name, **settings)
    plan, mistakes = compile_plan(described.relation, described.facts, config)
    assert (plan is None) == bool(mistakes)
    return mistakes


def _field_names(described: Layout, **settings: object) -> list[str]:
    return [field.name for field in compiled(described, **settings).fields]


def _key_names(described: Layout, **settings: object) -> list[str]:
    return [field.name for field in compiled(described, **settings).key_fields]


# --- keys


def test_the_key_has_the_order_of_the_primary_key_not_of_the_columns() -> None:
    assert _field_names(_LINES) == ["note", "line", "order"]
    assert _key_names(_LINES) == ["order", "line"]


def test_the_key_of_an_identity_index_is_that_indexs() -> None:
    described = layout(
        "people", {"id": BIGINT, "email": TEXT}, key=("email",), identity=ReplicaIdentity.INDEX
    )
    assert _key_names(described) == ["email"]


def test_key_columns_are_not_nullable_and_all_others_are() -> None:
    nullable = {field.name: field.nullable for field in compiled(_LINES).fields}
    assert nullable == {"note": True, "line": False, "order": False}


def test_a_configured_key_may_be_a_part_of_the_replica_identity() -> None:
    assert _key_names(_LINES, key=["order"]) == ["order"]
    assert _key_names(_LINES, key=["line", "order"]) == ["line", "order"]


def test_with_full_identity_any_columns_can_be_the_key() -> None:
    described = layout("log", {"at": TIMESTAMPTZ, "what": TEXT}, identity=_FULL)
    assert _key_names(described, key=["what"]) == ["what"]


def test_with_full_identity_the_primary_key_is_the_key() -> None:
    described = layout("log", {"id": BIGINT, "what": TEXT}, key=("id",), identity=_FULL)
    assert _key_names(described) == ["id"]


def test_a_key_beyond_the_replica_identity_is_a_mistake() -> None:
    assert _mistakes(_LINES, key=["order", "note"]) == [
        (
            "public.lines: key column note is not part of the replica identity:"
            ' set key = ["line", "order"], or remove key'
        )
    ]


def test_a_key_that_is_not_published_or_not_sent_is_a_mistake() -> None:
    assert _mistakes(_LINES, key=["gone"]) == [
        (
            "public.lines: key column gone does not exist or is not published:"
            ' set key = ["line", "order"], or remove key'
        )
    ]
    assert _mistakes(_LINES, columns=["note", "order"]) == [
        'public.lines: key column line is missing in columns: add "line"'
    ]


@pytest.mark.parametrize("identity", [ReplicaIdentity.DEFAULT, _FULL, ReplicaIdentity.NOTHING])
def test_a_table_without_a_key_is_refused_unless_it_may_be_unkeyed(
    identity: ReplicaIdentity,
) -> None:
    described = layout("log", {"what": TEXT}, identity=identity)
    (mistake,) = _mistakes(described)
    assert "public.log: has no key" in mistake
    assert "unkeyed = true" in mistake
    assert compiled(described, unkeyed=True).key == ()


# --- columns


def test_only_listed_columns_are_sent_in_the_order_of_the_table() -> None:
    described = shop.ORDERS
    assert _field_names(described, columns=["total", "id"]) == ["id", "total"]
    assert [step[0] is None for step in compiled(described, columns=["total", "id"]).steps] == [
        False,
        True,
        False,
        True,
    ]


def test_a_column_can_be_renamed_and_illegal_names_are_escaped() -> None:
    described = layout("t", {"id": BIGINT, "größe": TEXT, "2nd": TEXT}, key=("id",))
    renamed = {"2nd": {"rename": "second"}}
    assert _field_names(described, column=renamed) == ["id", "gr_x00F6__x00DF_e", "second"]


def test_a_renamed_key_column_keeps_its_place_in_the_key() -> None:
    assert _key_names(_LINES, column={"order": {"rename": "of"}}) == ["of", "line"]


def test_a_masked_column_is_a_string_whatever_it_was() -> None:
    plan = compiled(_LINES, column={"line": {"mask": "hash"}})
    field = plan.fields[1]
    assert (field.type, field.postgres_type) == ({"type": "string"}, "integer")
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    operation = plan.steps[1][0]
    assert operation is not None
    assert operation(b"1")[1:].lstrip(b"\x01") == digest.encode()


def test_any_type_can_be_sent_as_text() -> None:
    described = layout("t", {"id": BIGINT, "c": _COMPOSITE, "gone": None}, key=("id",))
    as_text = {"as": "text"}
    plan = compiled(described, column={"id": as_text, "c": as_text, "gone": as_text})
    assert [field.type for field in plan.fields] == [{"type": "string"}] * 3
    assert plan.fields[2].postgres_type == "oid 99999"


def test_without_its_logical_type_a_time_is_the_plain_number() -> None:
    described = layout("t", {"id": BIGINT, "day": DATE, "at": TIMESTAMPTZ}, key=("id",))
    plain = {"logical": False}
    plan = compiled(described, column={"day": plain, "at": plain})
    assert plan.fields[1].type == {"type": "int"}
    assert plan.fields[2].type["type"] == "long"
    assert "logicalType" not in plan.fields[2].type


def test_only_dates_and_times_can_do_without_their_logical_type() -> None:
    (mistake,) = _mistakes(shop.ORDERS, column={"status": {"logical": False}})
    assert "text with logical = false, which only dates and times can have" in mistake


@pytest.mark.parametrize("facts", [_COMPOSITE, _HSTORE, None])
def test_a_type_without_a_form_is_a_mistake_that_says_what_to_do(
    facts: TypeFacts | None,
) -> None:
    described = layout("t", {"id": BIGINT, "odd": facts}, key=("id",))
    (mistake,) = _mistakes(described)
    assert mistake.startswith("public.t: column odd is of ")
    assert mistake.endswith('set [tables.column.odd] as = "text"')


def test_a_type_without_a_form_is_no_mistake_in_a_column_that_is_not_sent() -> None:
    described = layout("t", {"id": BIGINT, "odd": _COMPOSITE}, key=("id",))
    assert _field_names(described, columns=["id"]) == ["id"]


def test_a_configured_column_that_the_table_lacks_is_a_mistake() -> None:
    (mistake,) = _mistakes(shop.ORDERS, columns=["id", "totl"])
    assert mistake.startswith("public.orders: column totl does not exist or is not published")
    (mistake,) = _mistakes(shop.ORDERS, column={"emial": {"mask": "hash"}})
    assert mistake == (
        "public.orders: column emial does not exist or is not published;"
        ' if only some rows have it, set optional = ["emial"]'
    )


def test_a_misspelt_column_of_the_present_layout_is_answered_with_the_right_one() -> None:
    config = shop.table(columns=["*"], column={"statuz": {"mask": "hash"}})
    known = Circumstances(is_present=True)
    for circumstances, guessed in ((known, True), (None, False)):
        plan, mistakes = compile_plan(
            shop.ORDERS.relation, shop.ORDERS.facts, config, circumstances
        )
        assert plan is None
        assert ("(did you mean status?)" in mistakes[0]) == guessed


def test_two_columns_of_one_name_are_a_mistake() -> None:
    described = layout("t", {"id": BIGINT, "a": TEXT, "b": TEXT}, key=("id",))
    assert _mistakes(described, column={"b": {"rename": "a"}}) == [
        "public.t: two columns would become field a: rename one"
    ]
    assert _field_names(described, columns=["id", "b"], column={"b": {"rename": "a"}}) == [
        "id",
        "a",
    ]


def test_all_mistakes_of_a_table_are_reported_at_once() -> None:
    described = layout("t", {"a": TEXT, "b": TEXT, "odd": _COMPOSITE})
    mistakes = _mistakes(described, columns=["*"], column={"x": {}, "b": {"rename": "a"}})
    assert len(mistakes) == 4
    told = "\n".join(mistakes)
    for part in ("has no key", "column odd", "column x does not exist", "field a"):
        assert part in told


def test_a_table_must_list_its_columns() -> None:
    with pytest.raises(ValueError, match="columns"):
        Table.model_validate({"name": "public.orders"})


# --- columns that were renamed


_BEFORE = layout("tasks", {"id": BIGINT, "status": TEXT}, key=("id",))
_AFTER = layout("tasks", {"id": BIGINT, "state": TEXT}, key=("id",))


def test_a_column_listed_by_both_its_names_is_sent_before_and_after_it_was_renamed() -> None:
    columns = ["id", ["state", "status"]]
    assert _field_names(_BEFORE, columns=columns) == ["id", "status"]
    assert _field_names(_AFTER, columns=columns) == ["id", "state"]
    kept = {"columns": columns, "column": {"state": {"rename": "status"}}}
    assert _field_names(_BEFORE, **kept) == _field_names(_AFTER, **kept) == ["id", "status"]


def test_a_listed_column_that_is_missing_is_named_with_those_that_it_may_have_become() -> None:
    (mistake,) = _mistakes(_BEFORE, columns=["id", "state"])
    assert "column state does not exist" in mistake
    assert "not listed: status " in mistake
    assert '["state", "status"]' in mistake
    (mistake,) = _mistakes(_BEFORE, columns=["id", "status", ["state", "phase"]])
    assert "column state or phase does not exist or is not published; if only" in mistake


def test_columns_listed_as_one_are_refused_where_both_are_there() -> None:
    both = layout("tasks", {"id": BIGINT, "state": TEXT, "status": TEXT}, key=("id",))
    (mistake,) = _mistakes(both, columns=["id", ["state", "status"]])
    assert "state and status are listed as one column, but the table has each of them" in mistake


# --- columns that some layouts lack


def test_a_column_that_was_added_later_is_left_out_of_an_older_layout() -> None:
    config = shop.table("public.tasks", columns=["id", "status", "note"])
    known = Circumstances(later=frozenset({"note"}))
    plan, mistakes = compile_plan(_BEFORE.relation, _BEFORE.facts, config, known)
    assert mistakes == []
    assert [field.name for field in plan.fields] == ["id", "status"] if plan else False


def test_an_optional_column_may_be_missing_in_any_layout() -> None:
    settings = {"columns": ["id", "status"], "optional": ["status"]}
    assert _field_names(_BEFORE, **settings) == ["id", "status"]
    assert _field_names(_AFTER, **settings) == ["id"]
    block = {"columns": ["*"], "column": {"status": {"mask": "hash"}}, "optional": ["status"]}
    assert _field_names(_AFTER, **block) == ["id", "state"]


def test_a_column_that_is_not_published_is_named_with_its_cure() -> None:
    config = shop.table("public.tasks", columns=["id", "status", "note"], key=["nr"])
    known = Circumstances(unsent={"note": "ALTER PUBLICATION p …", "nr": "ALTER PUBLICATION q …"})
    _, mistakes = compile_plan(_BEFORE.relation, _BEFORE.facts, config, known)
    assert mistakes == [
        "public.tasks: key column nr does not exist or is not published: ALTER PUBLICATION q …",
        "public.tasks: column note does not exist or is not published: ALTER PUBLICATION p …",
    ]


@pytest.mark.parametrize("identity", [ReplicaIdentity.INDEX, ReplicaIdentity.NOTHING])
def test_without_a_replica_identity_any_column_can_be_the_key(identity: ReplicaIdentity) -> None:
    described = layout("log", {"code": TEXT, "what": TEXT}, identity=identity)
    assert _key_names(described, key=["code"]) == ["code"]


def test_a_key_of_unknown_order_is_named_by_its_columns() -> None:
    described = layout("t", {"a": BIGINT, "b": BIGINT}, key=("a", "b"))
    unknown = replace(described, facts=replace(described.facts, key_columns=()))
    (mistake,) = _mistakes(unknown)
    assert mistake.endswith('set key = ["a", "b"]')

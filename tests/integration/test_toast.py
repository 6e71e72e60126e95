"""An update that leaves a toasted value untouched is published exactly, or marks the column."""

from tests.integration.source import Source
from tests.unit import shop

_BIG = "repeat('lorem ipsum ', 1000)"


def _toasting(source: Source, identity: str) -> None:
    source.run(
        "CREATE TABLE public.docs (id int PRIMARY KEY, body text NOT NULL, n int)",
        "ALTER TABLE public.docs ALTER body SET STORAGE EXTERNAL",
        f"ALTER TABLE public.docs REPLICA IDENTITY {identity}",
        f"INSERT INTO public.docs VALUES (1, {_BIG}, 0)",
    )


def test_an_update_that_left_a_toasted_column_untouched_marks_it_unchanged(source: Source) -> None:
    _toasting(source, "DEFAULT")
    source.stream()
    source.run("UPDATE public.docs SET n = 1", "UPDATE public.docs SET id = 2")
    updated, deleted, tombstone, created = source.publish(shop.table("public.docs")).values
    assert (updated["after"], updated["unchanged"]) == ({"id": 1, "body": None, "n": 1}, ["body"])
    assert deleted["before"] == {"id": 1, "body": None, "n": None}
    assert tombstone is None
    assert (created["after"]["id"], created["unchanged"]) == (2, ["body"])


def test_with_full_identity_an_untouched_toasted_column_is_filled_from_the_old_row(
    source: Source,
) -> None:
    _toasting(source, "FULL")
    source.stream()
    source.run("UPDATE public.docs SET n = 1")
    (value,) = source.publish(shop.table("public.docs")).values
    ((body,),) = source.select("SELECT body FROM public.docs")
    assert value["before"] == {"id": 1, "body": body, "n": 0}
    assert (value["after"], value["unchanged"]) == ({"id": 1, "body": body, "n": 1}, [])


def test_an_untouched_toasted_key_is_taken_from_the_old_key(source: Source) -> None:
    _toasting(source, "DEFAULT")
    # long enough to be toasted, short enough for an index page
    source.run(
        "CREATE TABLE public.named (name text PRIMARY KEY, pad text, n int)",
        "ALTER TABLE public.named ALTER name SET STORAGE EXTERNAL, ALTER pad SET STORAGE PLAIN",
        "INSERT INTO public.named VALUES (repeat('k', 2100), repeat('p', 1500), 0)",
    )
    source.stream()
    source.run("UPDATE public.named SET n = 1")
    published = source.publish(shop.table("public.named", columns=["name", "n"]))
    assert published.keys == [{"name": "k" * 2100}]
    (value,) = published.values
    assert (value["op"], value["unchanged"]) == ("u", [])
    assert value["after"] == {"name": "k" * 2100, "n": 1}


def test_an_update_into_a_row_filter_is_a_c_that_marks_what_the_server_left_out(
    source: Source,
) -> None:
    _toasting(source, "DEFAULT")
    source.stream("FOR TABLE public.docs WHERE (id > 10)")
    source.run("UPDATE public.docs SET id = 20", "UPDATE public.docs SET id = 1")
    created, deleted, tombstone = source.publish(shop.table("public.docs")).values
    assert (created["op"], created["unchanged"]) == ("c", ["body"])
    assert created["after"] == {"id": 20, "body": None, "n": 0}
    assert (deleted["op"], deleted["before"]["id"], tombstone) == ("d", 20, None)

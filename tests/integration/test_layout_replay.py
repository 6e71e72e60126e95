"""A replay gives the same events after the catalog has changed."""

from cdc_sidecar.events.registry.log import SchemaLog
from tests.integration.layouts import ORDERS, TABLES
from tests.integration.source import Source
from tests.unit import shop


def _replayed(source: Source, *meanwhile: str, before: tuple[str, ...]) -> None:
    """Publish, change the catalog, and check that a replay gives the same bytes."""
    source.run(*before)
    frames = source.frames()
    first = source.session(shop.table("public.t"))
    published = first.publish(*frames)
    assert published.records
    schemas = SchemaLog()
    for batch in published.batches:
        for key, value in batch.schemas:
            schemas.load(key, value)
    source.run(*meanwhile)
    again = source.session(shop.table("public.t"), schemas=schemas)
    replayed = again.publish(*frames)
    assert replayed.records == published.records
    assert again.asked == []


def test_a_replay_after_a_type_was_dropped_gives_the_same_events(source: Source) -> None:
    source.run(TABLES["user-defined types"][0])
    source.stream()
    _replayed(
        source,
        "ALTER TABLE public.t DROP m, DROP ms, DROP p, DROP ps, DROP ls",
        "DROP TYPE public.mood",
        "DROP DOMAIN public.lists; DROP DOMAIN public.prices; DROP DOMAIN public.price",
        before=("INSERT INTO public.t VALUES (1, 'ok', '{sad}', 1.5, '{2.5}', '{3.5,NULL}')",),
    )


def test_a_replay_after_the_key_changed_gives_the_same_events(source: Source) -> None:
    source.run("CREATE TABLE public.t (a int NOT NULL, b int NOT NULL, PRIMARY KEY (b, a))")
    source.stream()
    _replayed(
        source,
        "ALTER TABLE public.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a)",
        before=("INSERT INTO public.t VALUES (1, 2)", "UPDATE public.t SET a = 3"),
    )


def test_a_replay_after_the_table_was_dropped_gives_the_same_events(source: Source) -> None:
    source.run(ORDERS)
    source.stream()
    _replayed(
        source,
        "DROP TABLE public.t",
        before=("INSERT INTO public.t VALUES (1, 'a', 1)", "DELETE FROM public.t"),
    )

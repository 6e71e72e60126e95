"""The old row of an update decides which key is deleted: identities of partitions, keys of old."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import read_registry, read_topics
from tests.acceptance.own_postgres import halt_of

_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_ROOT = (
    "CREATE TABLE items (id int PRIMARY KEY, code text NOT NULL) PARTITION BY RANGE (id)",
    "CREATE TABLE leaf PARTITION OF items FOR VALUES FROM (0) TO (9)",
    "CREATE UNIQUE INDEX leaf_code ON leaf (code)",
    "CREATE PUBLICATION cdc FOR TABLE items WITH (publish_via_partition_root)",
)
_NOTICED = 30  # seconds: three times the interval of the guardian


def _events(service: Service) -> list[tuple[Any, Any]]:
    """Return operation and key of every event of `items`, in their order in the source."""
    reader = read_registry(service.kafka, service.name)
    found = [
        (value["source"]["lsn"], value["op"] == "c", value["op"], reader.read(key))
        for records in read_topics(service.kafka, service.topics("items")).values()
        for key, framed, _ in records
        if key and framed and (value := reader.read(framed))
    ]
    return [(op, key) for _, _, op, key in sorted(found, key=lambda event: event[:2])]


@pytest.fixture
def root(make_service: Callable[..., Service]) -> Service:
    """Yield a service with a partitioned table of one leaf; its sidecar is not started."""
    service = make_service(_ITEMS + MARKS)
    service.sql(*_ROOT)
    return service


@pytest.mark.parametrize(
    ("alter", "cure", "named"),
    [
        (
            ["ALTER TABLE leaf REPLICA IDENTITY USING INDEX leaf_code"],
            "ALTER TABLE public.leaf REPLICA IDENTITY DEFAULT",
            "does not log the key column id",
        ),
        (
            ["ALTER TABLE items REPLICA IDENTITY FULL"],
            "ALTER TABLE public.leaf REPLICA IDENTITY FULL",
            "does not log whole old rows",
        ),
        (
            ["ALTER TABLE leaf SET UNLOGGED"],
            "ALTER TABLE public.leaf SET LOGGED",
            "unlogged",
        ),
    ],
    ids=["index", "full", "unlogged"],
)
def test_a_partition_that_logs_less_than_its_root_is_refused_with_the_cure(
    root: Service, alter: list[str], cure: str, named: str
) -> None:
    root.sql(*alter)
    root.sidecar.start()
    assert root.sidecar.await_exit() == 2
    assert cure in root.sidecar.run("check").stdout
    error = root.sidecar.log_text()
    assert "CDC-110" in error
    assert named in error
    assert cure in error
    root.sql(cure)
    root.sidecar.start_and_stream()
    root.sql(
        "INSERT INTO items VALUES (1, 'a')",
        "UPDATE items SET id = 2",
        "DELETE FROM items",
    )
    root.await_published()
    keys = [(op, key["id"]) for op, key in _events(root)]
    assert keys == [("c", 1), ("d", 1), ("c", 2), ("d", 2)]


def test_a_partition_that_appears_with_another_identity_is_noticed(root: Service) -> None:
    root.sidecar.start_and_stream()
    root.sql(
        "CREATE TABLE second PARTITION OF items FOR VALUES FROM (10) TO (19)",
        "ALTER TABLE second REPLICA IDENTITY NOTHING",
    )
    assert root.sidecar.await_exit(deadline=_NOTICED) == 2
    assert "ALTER TABLE public.second REPLICA IDENTITY DEFAULT" in root.sidecar.log_text()


def test_an_update_without_its_old_row_halts_under_full_until_that_is_accepted(
    root: Service,
) -> None:
    root.sidecar.start_and_stream()
    assert root.sidecar.terminate() == 0
    root.sql(
        "ALTER TABLE items REPLICA IDENTITY FULL",
        "INSERT INTO items VALUES (1, 'a')",
        "UPDATE items SET code = 'b'",
        "ALTER TABLE leaf REPLICA IDENTITY FULL",
    )
    root.sidecar.start()
    halt = halt_of(root.sidecar)
    assert (halt["code"], "no old row" in halt["fact"]) == ("CDC-303", True)
    config = root.sidecar.config
    accepted = _ITEMS + 'incomplete_before = "publish"\n'
    config.write_text(config.read_text().replace(_ITEMS, accepted))
    root.sidecar.start_and_stream()
    root.await_published()
    assert [(op, key["id"]) for op, key in _events(root)] == [("c", 1), ("u", 1)]


def test_with_full_a_key_of_another_time_is_refused_until_the_key_is_said(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + MARKS)
    service.sql(
        "CREATE TABLE items (id int PRIMARY KEY, code int NOT NULL)",
        "ALTER TABLE items REPLICA IDENTITY FULL",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 10)")
    service.await_published()
    assert service.sidecar.terminate() == 0
    service.sql(
        "ALTER TABLE items ADD note text",
        "UPDATE items SET note = 'x'",
        "ALTER TABLE items DROP CONSTRAINT items_pkey, ADD PRIMARY KEY (code)",
    )
    service.sidecar.start()
    halt = halt_of(service.sidecar)
    assert halt["code"] == "CDC-303"
    assert halt["fact"] == "the key was (id) and is (code)"
    config = service.sidecar.config
    config.write_text(config.read_text().replace(TABLES, f'{TABLES}key = ["id"]\n'))
    service.sidecar.start_and_stream()
    service.await_published()
    assert _events(service) == [("c", {"id": 1}), ("u", {"id": 1})]

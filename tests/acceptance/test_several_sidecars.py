"""Several sidecars share one database: each its own slot, publication and topics."""

from collections.abc import Callable

from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.events import read_events

_SHARDS = ("orders", "stock", "customers")


def _shard(make_service: Callable[..., Service], table: str) -> Service:
    tables = f'\n[[tables]]\nname = "public.{table}"\ncolumns = ["*"]\n'
    return make_service(tables + MARKS, **{'publication = "cdc"': f'publication = "{table}"'})


def test_each_of_several_sidecars_sends_its_tables_once_and_none_of_the_others(
    make_service: Callable[..., Service],
) -> None:
    shards = {table: _shard(make_service, table) for table in _SHARDS}
    for table, shard in shards.items():
        shard.sql(
            f"CREATE TABLE {table} (id bigint PRIMARY KEY, n int)",
            f"CREATE PUBLICATION {table} FOR TABLE {table}",
        )
        shard.sidecar.start_and_stream()
    writer = shards["orders"]
    everywhere = "; ".join(f"INSERT INTO {table} VALUES (%s, 0)" for table in _SHARDS)
    for number in range(50):
        writer.sql(f"BEGIN; {everywhere.replace('%s', str(number))}; COMMIT")
    shards["stock"].sidecar.kill()
    for number in range(50, 100):
        writer.sql(f"BEGIN; {everywhere.replace('%s', str(number))}; COMMIT")
    shards["stock"].sidecar.start_and_stream()
    commits = set()
    for table, shard in shards.items():
        shard.await_published()
        events = read_events(shard.kafka, shard.name, shard.topics(table))
        found = [event for partition in events.values() for event in partition]
        assert len(found) == 100
        assert len({event.key for event in found}) == 100
        commits.add(frozenset(str(event.identity).split("/")[0] for event in found))
    assert len(commits) == 1, "a transaction has another commit LSN in another service's topics"

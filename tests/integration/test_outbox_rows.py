"""Rows of an outbox are removed by batches on a real server, whatever their table is like."""

from collections.abc import Iterator

import psycopg
import pytest

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import PruneRefused
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.postgres.outbox_rows import OutboxRows, read_mark, read_next_xid
from cdc_sidecar.runtime.pruner import PrunedOutbox

_NAME = '"Out box"."a%b"'
_MADE = f"""
CREATE SCHEMA "Out box";
CREATE TABLE {_NAME} (id int PRIMARY KEY, "c%d" timestamptz DEFAULT now() - interval '1 hour');
INSERT INTO {_NAME} SELECT n FROM generate_series(1, 10) n
"""
_INSERT = f"INSERT INTO {_NAME} VALUES (11)".encode()


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to a database with a table."""
    with psycopg.connect(database, autocommit=True) as made:
        made.execute(_MADE.encode())
        yield made


def _left(connection: psycopg.Connection) -> int:
    row = connection.execute(f"SELECT count(*) FROM {_NAME}".encode()).fetchone()
    assert row
    return int(row[0])


def _prune(connection: psycopg.Connection, *more: object, age: float = 0, since: int = 0) -> int:
    names = tuple(map(str, more))
    return OutboxRows(_NAME, names, age, since).prune(connection, read_mark(connection))[0]


def test_rows_of_a_table_with_any_name_are_removed(connection: psycopg.Connection) -> None:
    rows = OutboxRows(_NAME, (), 0)
    rows.try_delete(connection)
    assert rows.prune(connection, read_mark(connection)) == (10, 0)
    assert (_left(connection), rows.stock(connection).rows) == (0, 0)


def test_the_age_is_that_of_the_column_which_exists(connection: psycopg.Connection) -> None:
    assert _prune(connection, "at", "c%d", age=7200) == 0
    stock = OutboxRows(_NAME, ("at", "c%d"), 0).stock(connection)
    assert stock.oldest == pytest.approx(3600, abs=60)
    assert _prune(connection, "at", "c%d", age=1800) == 10
    with pytest.raises(PruneRefused, match="column at or id_2 of"):
        _prune(connection, "at", "id_2")


def test_rows_of_transactions_before_the_beginning_are_kept(
    connection: psycopg.Connection,
) -> None:
    since = read_next_xid(connection)
    connection.execute(_INSERT)
    assert _prune(connection, since=since) == 1
    assert _left(connection) == 10


def test_rows_above_the_mark_are_kept(connection: psycopg.Connection) -> None:
    mark = read_mark(connection)
    connection.execute(_INSERT)
    assert OutboxRows(_NAME, (), 0).prune(connection, mark) == (10, 0)


def test_a_subtransaction_that_runs_when_the_mark_is_set_is_above_it(
    connection: psycopg.Connection, database: str
) -> None:
    with psycopg.connect(database) as other:
        other.execute("SAVEPOINT inner_one")
        other.execute(_INSERT)
        other.execute("RELEASE inner_one")
        mark = read_mark(connection)
    OutboxRows(_NAME, (), 0).prune(connection, mark)
    assert _left(connection) == 1


def test_a_row_that_is_locked_is_left(connection: psycopg.Connection, database: str) -> None:
    with psycopg.connect(database) as other:
        other.execute(f"SELECT FROM {_NAME} WHERE id = 1 FOR UPDATE".encode())
        assert _prune(connection) == 0
    assert _prune(connection) == 10


def test_a_table_that_refuses_is_named_without_its_values(connection: psycopg.Connection) -> None:
    connection.execute(f"CREATE TABLE refers (id int REFERENCES {_NAME})".encode())
    connection.execute("INSERT INTO refers VALUES (7)")
    with pytest.raises(PruneRefused, match="SQLSTATE 23503") as refused:
        _prune(connection)
    assert "(7)" not in str(refused.value)


def test_rows_become_old_enough_even_if_that_takes_months(connection: psycopg.Connection) -> None:
    settings = {"table": "Out box.a%b", "prune": "60d"}
    outbox = PrunedOutbox("Out box.a%b", Outbox.model_validate(settings), 0)
    until, day, turn = Lsn(2**63), 86_400, 300
    removed = [
        outbox.prune(connection, until, float(at), lambda: False)[0]
        for at in range(0, 70 * day, turn)
    ]
    (turns,) = [turns for turns, rows in enumerate(removed) if rows]
    assert 60 * day <= turns * turn <= 66 * day

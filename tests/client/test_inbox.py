"""An inbox tells the first time of an event from its repeats, in every framework, and is pruned."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import django
import django.conf
import psycopg
import pytest
import sqlalchemy
from cdc_sidecar_client.inbox import Inbox
from django.db.utils import ConnectionHandler
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from tests.waiting import await_true

INBOX = Inbox("inbox")
_PARTITIONS = """\
SELECT count(*) FROM pg_inherits WHERE inhparent = 'inbox'::regclass"""


_OLD_PARTITION = """\
CREATE TABLE inbox_20200101 PARTITION OF inbox FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')"""


@pytest.fixture
def inbox(database: str) -> str:
    """Return the connection string of a database with an inbox."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(INBOX.schema_sql().encode())
    return database


def _url(dsn: str, driver: str = "psycopg") -> str:
    parts = conninfo_to_dict(dsn)
    place = f"{parts['host']}:{parts['port']}/{parts['dbname']}"
    return f"postgresql+{driver}://{parts['user']}:x@{place}"


@contextmanager
def _psycopg(dsn: str) -> Iterator[Any]:
    with psycopg.connect(dsn) as connection:
        yield connection


@contextmanager
def _cursor(dsn: str) -> Iterator[Any]:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        yield cursor


@contextmanager
def _sqlalchemy(dsn: str) -> Iterator[Any]:
    engine = sqlalchemy.create_engine(_url(dsn))
    with sqlalchemy.orm.Session(engine) as session, session.begin():
        yield session
    engine.dispose()


@contextmanager
def _django(dsn: str) -> Iterator[Any]:
    if not django.conf.settings.configured:
        django.conf.settings.configure()
        django.setup()
    parts = conninfo_to_dict(dsn)
    names = {"NAME": "dbname", "HOST": "host", "PORT": "port", "USER": "user"}
    place = {name: parts[word] for name, word in names.items()}
    engine = {"ENGINE": "django.db.backends.postgresql"}
    connection = ConnectionHandler({"default": {**engine, **place}})["default"]
    connection.set_autocommit(False)
    yield connection
    connection.commit()
    connection.close()


@pytest.mark.parametrize("opened", [_psycopg, _cursor, _sqlalchemy, _django])
def test_an_event_is_first_once_in_every_framework(
    inbox: str, opened: Callable[[str], Any]
) -> None:
    event = uuid4()
    with opened(inbox) as tx:
        INBOX.prune(tx)
    with opened(inbox) as tx:
        assert INBOX.first(tx, event) is True
        assert INBOX.first(tx, event) is False
        cursor = tx.cursor() if opened is _django else tx
        assert INBOX.first(cursor, str(uuid4())) is True
    with opened(inbox) as tx:
        assert INBOX.first(tx, event) is False


async def _asyncpg(dsn: str, act: Callable[[Any], Any]) -> None:
    parts = conninfo_to_dict(dsn)
    connection = await asyncpg.connect(
        host=parts["host"], port=int(str(parts["port"])), user="postgres", database=parts["dbname"]
    )
    async with connection.transaction():
        await act(connection)
    await connection.close()


async def _psycopg_async(dsn: str, act: Callable[[Any], Any]) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await act(connection)


async def _sqlalchemy_async(dsn: str, act: Callable[[Any], Any]) -> None:
    engine = create_async_engine(_url(dsn, "asyncpg"))
    async with AsyncSession(engine) as session, session.begin():
        await act(session)
    await engine.dispose()


@pytest.mark.parametrize("opened", [_asyncpg, _psycopg_async, _sqlalchemy_async])
def test_an_event_is_first_once_in_every_asynchronous_framework(
    inbox: str, opened: Callable[[str, Callable[[Any], Any]], Any]
) -> None:
    event, answers = uuid4(), []

    async def act(tx: Any) -> None:  # noqa: ANN401 - of a framework
        answers.append(await INBOX.first_async(tx, event))

    async def all_of_it() -> None:
        await opened(inbox, INBOX.prune_async)
        for _ in range(2):
            await opened(inbox, act)

    asyncio.run(all_of_it())
    assert answers == [True, False]


def test_an_event_of_a_transaction_that_is_rolled_back_counts_as_not_seen(inbox: str) -> None:
    with psycopg.connect(inbox) as connection:
        assert INBOX.first(connection, "e")
        connection.rollback()
        assert INBOX.first(connection, "e")


class _Second(threading.Thread):
    """Another transaction with an event."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self.answer: bool | None = None

    def run(self) -> None:
        """Ask."""
        with psycopg.connect(self._dsn) as connection:
            self.answer = INBOX.first(connection, "e")

    def await_waiting(self) -> None:
        """Wait until it waits for the first transaction."""
        query = "SELECT FROM pg_stat_activity WHERE datname = %s AND wait_event = 'advisory'"
        name = conninfo_to_dict(self._dsn)["dbname"]
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            await_true(lambda: connection.execute(query, [name]).rowcount == 1, what="it waits")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_of_two_transactions_on_two_days_the_second_waits_and_sees_the_first(
    inbox: str, end: str
) -> None:
    second = _Second(inbox)
    with psycopg.connect(inbox) as connection:
        INBOX.prune(connection)
        connection.commit()
        assert INBOX.first(connection, "e")
        connection.execute("UPDATE inbox SET seen_on = seen_on - 1")  # it began yesterday
        second.start()
        second.await_waiting()
        assert second.answer is None
        getattr(connection, end)()
        second.join(30)
    assert second.answer is (end == "rollback")


def test_prune_makes_the_coming_partitions_and_drops_old_ones_whole(inbox: str) -> None:
    with psycopg.connect(inbox, autocommit=True) as connection:
        connection.execute("INSERT INTO inbox VALUES ('late', current_date - 8)")
        INBOX.prune(connection, keep="8d")
        assert connection.execute(_PARTITIONS).fetchone() == (9,)
        assert not INBOX.first(connection, "late")
        connection.execute(_OLD_PARTITION)
        connection.execute("INSERT INTO inbox VALUES ('old', '2020-01-01')")
        assert not INBOX.first(connection, "old")
        INBOX.prune(connection, keep=timedelta(days=7))
        INBOX.prune(connection)
        assert connection.execute(_PARTITIONS).fetchone() == (9,)
        assert INBOX.first(connection, "old")
        assert INBOX.first(connection, "late")


def test_events_that_came_before_the_partition_of_their_day_are_kept(inbox: str) -> None:
    with psycopg.connect(inbox, autocommit=True) as connection:
        assert INBOX.first(connection, "e")
        INBOX.prune(connection)
        assert connection.execute(_PARTITIONS).fetchone() == (8,)  # not that of today
        assert not INBOX.first(connection, "e")


@pytest.mark.parametrize("name", ["Inbox", "a.b.c", "inbox; DROP", "i" * 60, ""])
def test_a_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name like inbox"):
        Inbox(name)


@pytest.mark.parametrize("keep", ["7", "0d", "7h", timedelta(hours=5), 7])
def test_a_window_that_is_no_number_of_days_is_refused(keep: Any) -> None:  # noqa: ANN401 - mistakes
    with pytest.raises(ValueError, match="is not a number of days"):
        INBOX.prune_sql(keep)


def test_an_unknown_kind_of_transaction_is_refused() -> None:
    with pytest.raises(TypeError, match="object is not of psycopg"):
        INBOX.first(object(), "e")

"""One caller for each driver that the outbox knows: it emits in a transaction of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import asyncpg
import django
import django.conf
import django.db
import django.db.transaction
import psycopg
from cdc_sidecar_client import Outbox
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

End = Literal["commit", "rollback"]
Event = dict[str, Any]
"""The arguments of `emit`, by name."""


class RolledBack(Exception):
    """The caller changes its mind."""


def _end_by_error(end: End) -> None:
    if end == "rollback":
        raise RolledBack


@dataclass(frozen=True)
class Caller:
    """A service that uses one driver."""

    emit: Callable[[str, Outbox, Event, End], UUID]
    """Emit in a transaction that is committed, or rolled back; return the event's id."""
    emit_outside: Callable[[str, Outbox, Event], None]
    """Emit where each statement is committed alone."""


# --- psycopg


def _psycopg(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    with psycopg.connect(dsn) as connection:
        event_id = outbox.emit(connection, **event)
        if end == "rollback":
            connection.rollback()
    return event_id


def _psycopg_outside(dsn: str, outbox: Outbox, event: Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        outbox.emit(connection, **event)


def _psycopg_cursor(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        connection.transaction(force_rollback=end == "rollback"),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 7")
        event_id: UUID = outbox.emit(cursor, **event)
        assert cursor.fetchone() == (7,)  # the caller's result is still there
    return event_id


def _psycopg_cursor_outside(dsn: str, outbox: Outbox, event: Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        outbox.emit(cursor, **event)


def _psycopg_pipeline(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        connection.pipeline(),
        connection.transaction(force_rollback=end == "rollback"),
    ):
        event_id: UUID = outbox.emit(connection, **event)
    return event_id


def _psycopg_pipeline_outside(dsn: str, outbox: Outbox, event: Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection, connection.pipeline():
        connection.execute("SELECT 1")
        outbox.emit(connection, **event)


def _async_psycopg(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    async def emit() -> UUID:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            event_id = await outbox.emit_async(connection, **event)
            if end == "rollback":
                await connection.rollback()
        return event_id

    return asyncio.run(emit())


def _async_psycopg_outside(dsn: str, outbox: Outbox, event: Event) -> None:
    async def emit() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await outbox.emit_async(connection.cursor(), **event)

    asyncio.run(emit())


# --- SQLAlchemy


def _url(dsn: str, driver: str) -> URL:
    words = conninfo_to_dict(dsn)
    return URL.create(
        f"postgresql+{driver}",
        username=str(words["user"]),
        host=str(words["host"]),
        port=int(str(words["port"])),
        database=str(words["dbname"]),
    )


@contextmanager
def engine(dsn: str, **options: str) -> Iterator[Engine]:
    """Make an engine on psycopg for the time of a block."""
    made = create_engine(_url(dsn, "psycopg"), **options)
    try:
        yield made
    finally:
        made.dispose()


@asynccontextmanager
async def async_engine(dsn: str, driver: str) -> AsyncIterator[AsyncEngine]:
    """Make an async engine for the time of a block."""
    made = create_async_engine(_url(dsn, driver))
    try:
        yield made
    finally:
        await made.dispose()


def _sqlalchemy(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    with engine(dsn) as made, Session(made) as session:
        event_id: UUID = outbox.emit(session, **event)
        getattr(session, end)()
    return event_id


def _sqlalchemy_outside(dsn: str, outbox: Outbox, event: Event) -> None:
    with engine(dsn, isolation_level="AUTOCOMMIT") as made, Session(made) as session:
        outbox.emit(session, **event)


def _sqlalchemy_scoped(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    with engine(dsn) as made:
        session = scoped_session(sessionmaker(made))
        try:
            event_id: UUID = outbox.emit(session, **event)
            getattr(session, end)()
        finally:
            session.remove()
    return event_id


def _sqlalchemy_without_begin(dsn: str, outbox: Outbox, event: Event) -> None:
    with engine(dsn) as made, Session(made, autobegin=False) as session:
        outbox.emit(session, **event)


def _async_sqlalchemy(driver: str) -> Caller:
    def emit(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
        async def call() -> UUID:
            async with async_engine(dsn, driver) as made, AsyncSession(made) as session:
                event_id: UUID = await outbox.emit_async(session, **event)
                await getattr(session, end)()
            return event_id

        return asyncio.run(call())

    def emit_outside(dsn: str, outbox: Outbox, event: Event) -> None:
        async def call() -> None:
            async with async_engine(dsn, driver) as made, made.connect() as plain:
                connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
                await outbox.emit_async(connection, **event)

        asyncio.run(call())

    return Caller(emit, emit_outside)


# --- Django


@contextmanager
def django_alias(dsn: str) -> Iterator[str]:
    """Make a connection of Django's; yield its alias."""
    if not django.conf.settings.configured:
        django.conf.settings.configure()
        django.setup()
    settings = _django_settings(dsn)
    both = django.db.connections.configure_settings({"default": settings, "other": settings})
    django.db.connections.settings["other"] = both["other"]
    try:
        yield "other"
    finally:
        django.db.connections["other"].close()
        del django.db.connections["other"]


def _django_settings(dsn: str) -> dict[str, str]:
    words = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
    engine = {"ENGINE": "django.db.backends.postgresql"}
    return engine | {setting: words[word] for setting, word in names.items()}


def _django(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    with (
        django_alias(dsn) as alias,
        suppress(RolledBack),
        django.db.transaction.atomic(using=alias),
    ):
        event_id: UUID = outbox.emit(django.db.connections[alias], **event)
        _end_by_error(end)
    return event_id


def _django_outside(dsn: str, outbox: Outbox, event: Event) -> None:
    with django_alias(dsn) as alias:
        outbox.emit(django.db.connections[alias], **event)


# --- asyncpg


@asynccontextmanager
async def asyncpg_connection(dsn: str) -> AsyncIterator[Any]:
    """Connect for the time of a block."""
    connection = await asyncpg.connect(_address(dsn))
    try:
        yield connection
    finally:
        await connection.close()


def _asyncpg(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    async def emit() -> UUID:
        async with asyncpg_connection(dsn) as connection:
            transaction = connection.transaction()
            await transaction.start()
            event_id: UUID = await outbox.emit_async(connection, **event)
            await getattr(transaction, end)()
        return event_id

    return asyncio.run(emit())


def _asyncpg_pool(dsn: str, outbox: Outbox, event: Event, end: End) -> UUID:
    async def emit() -> UUID:
        async with asyncpg.create_pool(_address(dsn), min_size=1) as pool:
            with suppress(RolledBack):
                async with pool.acquire() as connection, connection.transaction():
                    event_id: UUID = await outbox.emit_async(connection, **event)
                    _end_by_error(end)
        return event_id

    return asyncio.run(emit())


def _asyncpg_outside(dsn: str, outbox: Outbox, event: Event) -> None:
    async def emit() -> None:
        async with asyncpg_connection(dsn) as connection:
            await outbox.emit_async(connection, **event)

    asyncio.run(emit())


def _address(dsn: str) -> str:
    return _url(dsn, "x").render_as_string().replace("postgresql+x", "postgresql")


CALLERS = {
    "psycopg": Caller(_psycopg, _psycopg_outside),
    "psycopg cursor": Caller(_psycopg_cursor, _psycopg_cursor_outside),
    "psycopg pipeline": Caller(_psycopg_pipeline, _psycopg_pipeline_outside),
    "async psycopg": Caller(_async_psycopg, _async_psycopg_outside),
    "SQLAlchemy": Caller(_sqlalchemy, _sqlalchemy_outside),
    "scoped SQLAlchemy": Caller(_sqlalchemy_scoped, _sqlalchemy_without_begin),
    "async SQLAlchemy on psycopg": _async_sqlalchemy("psycopg"),
    "async SQLAlchemy on asyncpg": _async_sqlalchemy("asyncpg"),
    "Django": Caller(_django, _django_outside),
    "asyncpg": Caller(_asyncpg, _asyncpg_outside),
    "asyncpg pool": Caller(_asyncpg_pool, _asyncpg_outside),
}

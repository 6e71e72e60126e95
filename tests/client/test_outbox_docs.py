"""The snippets of "Emit events" run as they are printed, each on its own driver."""

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import django.db
import psycopg
import pytest
from cdc_sidecar_client import Position
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from cdc_sidecar.operations.outbox_sql import outbox_sql
from tests.client.callers import async_engine, asyncpg_connection, django_alias, engine

PAGE = (Path(__file__).parents[2] / "docs/how-to/emit-events.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PAID = [("order", "42", "OrderPaid", "12.50")]
Names = dict[str, Any]


@pytest.fixture
def prepared(database: str) -> str:
    """Return a database with an order and an outbox, and with the function of SQL."""
    script = outbox_sql("table", table="public.outbox", role="postgres")
    script += "CREATE TABLE orders (id int, status text); INSERT INTO orders VALUES (42, 'new');"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(script.encode())
    return database


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Run the Python of the page beside its schema; return what it defines."""
    (tmp_path / "schemas").mkdir()
    (schema,) = [text for kind, text in _BLOCK.findall(PAGE) if kind == "json"]
    (tmp_path / "schemas" / "OrderPaid.avsc").write_text(schema)
    monkeypatch.chdir(tmp_path)
    defined: Names = {"__name__": "page"}
    for kind, text in _BLOCK.findall(PAGE):
        if kind == "python":
            exec(compile(text, "emit-events.md", "exec", dont_inherit=True), defined)  # noqa: S102 - our own page
    return defined


def emitted(dsn: str) -> list[tuple[Any, ...]]:
    """Return the events of the outbox, if the order is paid."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT aggregatetype, aggregateid, outbox.type, payload->>'total' FROM outbox, orders"
            " WHERE status = 'paid'"
        ).fetchall()


def test_psycopg(prepared: str, names: Names) -> None:
    with psycopg.connect(prepared, autocommit=True) as connection:
        told = names["pay_and_tell"](connection)
    assert Position.parse(told) > Position(0)
    assert emitted(prepared) == _PAID


def test_sqlalchemy(prepared: str, names: Names) -> None:
    with engine(prepared) as made, Session(made) as session:
        names["pay_with_sqlalchemy"](session)
    assert emitted(prepared) == _PAID


def test_django(prepared: str, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    with django_alias(prepared) as alias:
        other = django.db.connections[alias]
        monkeypatch.setitem(names, "connection", other)
        atomic = django.db.transaction.atomic
        monkeypatch.setattr(names["transaction"], "atomic", lambda: atomic(using=alias))
        names["pay_with_django"]()
    assert emitted(prepared) == _PAID


def test_async_drivers(prepared: str, names: Names) -> None:
    async def pay() -> None:
        async with asyncpg_connection(prepared) as connection:
            assert isinstance(connection, asyncpg.Connection)
            await names["pay_with_asyncpg"](connection)
        async with await psycopg.AsyncConnection.connect(prepared) as other:
            await names["pay_with_async_psycopg"](other)
        async with async_engine(prepared, "asyncpg") as made, AsyncSession(made) as session:
            await names["pay_with_async_sqlalchemy"](session)

    asyncio.run(pay())
    assert emitted(prepared) == _PAID * 3


def test_sql(prepared: str) -> None:
    script = next(text for kind, text in _BLOCK.findall(PAGE) if kind == "sql")
    with psycopg.connect(prepared, autocommit=True) as connection:
        connection.execute(script.encode())
    assert emitted(prepared) == _PAID

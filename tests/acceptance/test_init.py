"""`init` writes a configuration with which the sidecar runs, also for an existing database."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.sidecar import Sidecar

_TABLES = """
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE SCHEMA "Sales";
CREATE TYPE public.money_bag AS (amount numeric, currency text);
CREATE TABLE "Sales"."Order Lines" ("order" int, "line no" int, bag public.money_bag, grid int[][],
    bags public.money_bag[], tags public.hstore, PRIMARY KEY ("line no", "order"));
CREATE TABLE public.orders (id bigint PRIMARY KEY, status text, doubled bigint
    GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE public.readings (day date, value int, PRIMARY KEY (day)) PARTITION BY RANGE (day);
CREATE TABLE public.readings_2026 PARTITION OF public.readings
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE public.outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text,
    payload jsonb);
CREATE TABLE public.keyless (line text);
CREATE TABLE public.indexed (code text NOT NULL);
CREATE UNIQUE INDEX "by code" ON public.indexed (code);
CREATE TABLE public.silent (id int PRIMARY KEY);
ALTER TABLE public.silent REPLICA IDENTITY NOTHING;
CREATE TABLE public.whole (a int, b int);
ALTER TABLE public.whole REPLICA IDENTITY FULL;
CREATE TABLE public.computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE public.computed REPLICA IDENTITY FULL;
CREATE UNLOGGED TABLE public.cache (id int PRIMARY KEY);
CREATE TABLE public."odd*name" (id int PRIMARY KEY);
CREATE VIEW public.seen AS SELECT * FROM public.orders;
"""
_CAPTURED = {"Sales.Order Lines", "public.orders", "public.readings"}


class Folder:
    """An empty folder of a user, with the configuration by its default name."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self.path = path
        self.config = path / "cdc-sidecar.toml"
        self.environment = environment

    def run(self, *words: str, status: int = 0) -> str:
        """Run a command without naming the configuration; return its output."""
        run = subprocess.run(
            [sys.executable, "-m", "cdc_sidecar", *words],
            cwd=self.path,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == status, run.stdout + run.stderr
        return run.stdout + run.stderr

    def written(self) -> dict[str, Any]:
        """Return the written configuration."""
        return tomllib.loads(self.config.read_text(encoding="utf-8"))


@pytest.fixture
def folder(database: str, tmp_path: Path) -> Folder:
    """Return a folder; libpq's variables lead to a database with tables of every kind."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(_TABLES.encode())
    words = conninfo_to_dict(database)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    return Folder(tmp_path, {variable: str(words[word]) for word, variable in names.items()})


@pytest.fixture
def sidecar(folder: Folder) -> Iterator[Sidecar]:
    """Yield the sidecar of the written configuration."""
    made = Sidecar(folder.config, free_port())
    yield made
    made.close()


def test_init_proposes_tables_keys_and_types_with_which_the_sidecar_runs(
    folder: Folder, sidecar: Sidecar, database: str, kafka: KafkaBroker
) -> None:
    shown = folder.run("init", "--dsn", "", "--bootstrap-servers", kafka.bootstrap_servers)
    assert "3 tables and 1 outbox" in shown
    assert "7 tables cannot be captured yet" in shown
    config = folder.written()
    assert {table["name"] for table in config["tables"]} == _CAPTURED
    assert [outbox["table"] for outbox in config["outboxes"]] == ["public.outbox"]
    assert set(config["tables"][0]["column"]) == {"bag", "grid", "bags", "tags"}
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(folder.run("setup-sql").encode())
    listen = f"127.0.0.1:{sidecar.port}"
    folder.config.write_text(folder.config.read_text().replace("127.0.0.1:9464", listen))
    assert " 0 faults" in folder.run("check")
    sidecar.start_and_stream()
    assert sidecar.terminate() == 0


def test_a_table_that_cannot_be_captured_is_a_comment_with_its_cure(folder: Folder) -> None:
    folder.run("init", "--dsn", "")
    text = folder.config.read_text(encoding="utf-8")
    for cure in (
        "no replica identity (DEFAULT; 55000): ALTER TABLE public.keyless ADD PRIMARY KEY",
        'ALTER TABLE public.indexed REPLICA IDENTITY USING INDEX "by code"',
        "ALTER TABLE public.silent REPLICA IDENTITY DEFAULT",
        "has no key: name the columns of its key in key = [...]",
        "ALTER TABLE public.computed REPLICA IDENTITY DEFAULT",
        "ALTER TABLE public.cache SET LOGGED",
        "its name would be read as a glob",
    ):
        assert cure in text
    assert '# key: line no, order\n[[tables]]\nname = "Sales.Order Lines"' in text
    assert "public.seen" not in text


def test_the_cures_work(folder: Folder, database: str) -> None:
    folder.run("init", "--dsn", "")
    text = folder.config.read_text(encoding="utf-8")
    cures = [line.partition(": ALTER ")[2] for line in text.splitlines() if "yet:" in line]
    with psycopg.connect(database, autocommit=True) as owner:
        for cure in filter(None, cures):
            column = "line" if "keyless" in cure else "id"
            owner.execute(f"ALTER {cure}".replace("…", column).encode())
    folder.run("init", "--dsn", "", "--force")
    left = {table["name"] for table in folder.written()["tables"]} ^ _CAPTURED
    assert left == {
        f"public.{name}" for name in ("cache", "computed", "indexed", "keyless", "silent")
    }


def test_init_writes_no_password_and_the_role_of_the_sidecar(folder: Folder, database: str) -> None:
    folder.run("init", "--dsn", f"{database} password=canary-secret", "--service", "billing")
    text = folder.config.read_text(encoding="utf-8")
    assert "canary" not in text
    config = folder.written()
    assert config["service"]["name"] == "billing"
    assert config["postgres"]["slot"] == config["postgres"]["publication"] == "billing_cdc"
    words = conninfo_to_dict(config["postgres"]["dsn"])
    expected = conninfo_to_dict(database)
    assert words == {**expected, "user": "cdc_sidecar"}


def test_init_without_a_database_writes_a_configuration_that_the_commands_find(
    tmp_path: Path,
) -> None:
    user = Folder(tmp_path, {"CDC_SIDECAR_CONFIG": "other.toml"})
    assert "wrote other.toml with an example table" in user.run("init")
    assert 'CREATE PUBLICATION "orders_cdc"' in user.run("setup-sql")
    assert "CDC-105" in user.run("init", status=2)
    assert "CDC-105" in user.run("init", "-c", "nowhere/x.toml", status=2)
    assert "--service" in user.run("init", "-c", "x.toml", "--service", "a b", status=2)
    assert not (tmp_path / "x.toml").exists()
    assert "CDC-102" not in user.run("init", "--force")


def test_init_says_why_a_database_cannot_be_reached(tmp_path: Path) -> None:
    user = Folder(tmp_path, {})
    shown = user.run("init", "--dsn", "host=127.0.0.1 port=1", status=4)
    assert "CDC-201" in shown
    assert "Traceback" not in shown
    assert not user.config.exists()

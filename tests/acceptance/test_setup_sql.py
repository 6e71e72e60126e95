"""`setup-sql --diff` prints what is missing after a change of the configuration, and no more."""

import re
import secrets
import tomllib
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service
from tests.acceptance.setup import run_script

_ITEMS = '\n[[tables]]\nname = "public.items"\ncolumns = ["*"]\n'
_MORE = """
[[tables]]
name = 'Sales.Order "Lines'
columns = ["*"]

[[tables]]
name = "public.readings"
columns = ["*"]

[[tables]]
name = "stock.*"
columns = ["*"]

[[outboxes]]
table = "public.outbox"
"""
_TABLES = """
CREATE TABLE items (id int PRIMARY KEY, label text);
CREATE SCHEMA "Sales"; CREATE TABLE "Sales"."Order ""Lines" (id int PRIMARY KEY);
CREATE TABLE readings (day date PRIMARY KEY, value int) PARTITION BY RANGE (day);
CREATE TABLE readings_2026 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE SCHEMA stock; CREATE TABLE stock.bins (id int PRIMARY KEY);
CREATE UNLOGGED TABLE stock.scratch (id int PRIMARY KEY);
CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text,
    payload jsonb);
CREATE TABLE keyless (line text);
"""


class Setup:
    """A service whose sidecar has a role of its own, and the owner of its database."""

    def __init__(self, service: Service, postgres: PostgresServer) -> None:
        self.service = service
        self.dsn = tomllib.loads(service.sidecar.config.read_text())["postgres"]["dsn"]
        self._postgres = postgres

    def diff(self, *words: str, status: int = 0) -> str:
        """Return what `setup-sql --diff` prints."""
        run = self.service.sidecar.run("setup-sql", "--diff", *words)
        assert run.returncode == status, run.stdout + run.stderr
        assert "Traceback" not in run.stderr
        return run.stdout + run.stderr

    def as_owner(self) -> tuple[str, str]:
        """Return the option with which the command connects as the owner."""
        return "--dsn", self.service.dsn

    def apply(self, script: str) -> None:
        """Run a script as the owner does."""
        run_script(self.service, self._postgres, script)

    def configure(self, more: str) -> None:
        """Add to the configuration."""
        config = self.service.sidecar.config
        config.write_text(config.read_text() + more)

    def check(self) -> str:
        """Return what `check` prints."""
        return self.service.sidecar.run("check").stdout


@pytest.fixture
def setup(make_service: Callable[..., Service], postgres: PostgresServer) -> Setup:
    """Return a service with one configured table, on a database with several."""
    service = make_service(_ITEMS)
    service.sql(_TABLES)
    config = service.sidecar.config
    role = f"cdc_{secrets.token_hex(4)}"
    dsn = make_conninfo(service.dsn, user=role)
    config.write_text(config.read_text().replace(service.dsn, dsn))
    return Setup(service, postgres)


def _statements(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("--")]


def test_the_difference_prepares_a_database_from_nothing_and_is_then_empty(setup: Setup) -> None:
    refused = setup.diff(status=3)
    assert "CDC-202" in refused
    assert "setup-sql" in refused
    assert "--dsn" in refused
    setup.apply(setup.diff(*setup.as_owner()))
    assert _statements(setup.diff()) == []
    assert "No statement is missing" in setup.diff()
    assert " 0 faults" in setup.check()


def test_a_role_that_replicates_by_membership_as_on_rds_needs_no_attribute(setup: Setup) -> None:
    setup.apply(setup.diff(*setup.as_owner()))
    role = conninfo_to_dict(setup.dsn)["user"]
    setup.service.sql(f"ALTER ROLE {role} NOREPLICATION", "CREATE ROLE rds_replication")
    assert _statements(setup.diff(*setup.as_owner())) == [f"ALTER ROLE {role} LOGIN REPLICATION;"]
    try:
        setup.service.sql(f"GRANT rds_replication TO {role}")
        assert _statements(setup.diff(*setup.as_owner())) == []
    finally:
        setup.service.sql("DROP ROLE rds_replication")


def test_a_glob_over_schemas_becomes_the_tables_that_the_database_has(setup: Setup) -> None:
    setup.service.sql(
        *(f"CREATE SCHEMA shop_{n}" for n in "ab"),
        *(f"CREATE TABLE shop_{n}.orders (id int PRIMARY KEY)" for n in "ab"),
        "CREATE TABLE shop_a.drafts (id int PRIMARY KEY)",
    )
    setup.configure('\n[[tables]]\nname = "shop_*.orders"\ncolumns = ["*"]\n')
    refused = setup.service.sidecar.run("setup-sql")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "CDC-106" in refused.stderr
    assert "setup-sql --diff" in refused.stderr
    printed = setup.diff(*setup.as_owner())
    setup.apply(printed)
    assert "drafts" not in printed
    assert _statements(setup.diff()) == []
    assert " 0 faults" in setup.check()
    setup.service.sql("CREATE SCHEMA shop_c", "CREATE TABLE shop_c.orders (id int PRIMARY KEY)")
    setup.apply(setup.diff())
    assert "4 of 4 published" in setup.check()


def test_the_publication_is_created_without_tables_that_do_not_exist(setup: Setup) -> None:
    for name in ("public.nothing", "absent.*", "no_*.table"):
        setup.configure(f'\n[[tables]]\nname = "{name}"\ncolumns = ["*"]\n')
    printed = setup.diff(*setup.as_owner())
    assert "-- public.nothing does not exist" in printed
    assert "-- absent.* matches no table" in printed
    assert "-- no_*.table matches no table" in printed
    setup.apply(printed)
    assert _statements(setup.diff()) == []


def test_after_a_change_of_the_configuration_only_what_is_missing_is_printed(setup: Setup) -> None:
    setup.apply(setup.service.sidecar.run("setup-sql").stdout)
    setup.configure(_MORE)
    printed = setup.diff()
    assert "public.items" not in printed
    assert "CREATE" not in printed
    assert "scratch" not in printed
    setup.apply(printed)
    assert _statements(setup.diff()) == []
    assert " 0 faults" in setup.check()
    setup.service.sidecar.start_and_stream()


def test_each_part_that_is_missing_is_printed_alone(setup: Setup) -> None:
    setup.apply(setup.service.sidecar.run("setup-sql").stdout)
    role = re.search(r"user=(\w+)", setup.service.sidecar.config.read_text())
    assert role
    cures = {
        f"REVOKE SELECT ON items FROM {role[1]}": "GRANT SELECT ON",
        "ALTER PUBLICATION cdc SET (publish = 'insert, truncate')": "'insert, update, delete, trun",
        "ALTER PUBLICATION cdc DROP TABLE items": "ADD TABLE",
        "DROP PUBLICATION cdc": "CREATE PUBLICATION",
    }
    for broken, cure in cures.items():
        setup.apply(broken)
        printed = setup.diff()
        assert [text for text in cures.values() if text in printed] == [cure]
        setup.apply(printed)
    assert _statements(setup.diff()) == []


def test_what_would_harm_the_service_is_a_remark_and_so_is_a_misspelt_table(setup: Setup) -> None:
    setup.apply(setup.service.sidecar.run("setup-sql").stdout)
    setup.configure(
        '\n[[tables]]\nname = "public.keyless"\ncolumns = ["*"]\nunkeyed = true\n'
        '\n[[tables]]\nname = "public.outbx"\ncolumns = ["*"]\n'
        '\n[[tables]]\nname = "public.readings_2026"\ncolumns = ["*"]\n'
    )
    printed = setup.diff()
    assert "-- public.keyless is not published: it has no replica identity (DEFAULT" in printed
    assert "-- public.outbx does not exist: did you mean public.outbox?" in printed
    assert "-- public.readings_2026 is a partition" in printed
    setup.apply(printed)
    setup.service.sql("INSERT INTO keyless VALUES ('a')", "UPDATE keyless SET line = 'b'")


def test_a_partition_that_the_service_could_not_change_is_a_remark_with_its_cure(
    setup: Setup,
) -> None:
    setup.apply(setup.service.sidecar.run("setup-sql").stdout)
    setup.configure('\n[[tables]]\nname = "public.readings"\ncolumns = ["*"]\n')
    setup.service.sql("ALTER TABLE readings_2026 REPLICA IDENTITY NOTHING")
    printed = setup.diff()
    cure = "ALTER TABLE public.readings_2026 REPLICA IDENTITY DEFAULT"
    assert f"(NOTHING; 55000): {cure}" in printed
    assert "ADD TABLE" not in printed
    setup.apply(printed)
    setup.service.sql(cure)
    setup.apply(setup.diff())
    assert " 0 faults" in setup.check()


def test_a_table_that_is_published_without_need_is_named(setup: Setup) -> None:
    setup.apply(setup.service.sidecar.run("setup-sql").stdout)
    setup.apply("ALTER PUBLICATION cdc ADD TABLE outbox")
    printed = setup.diff()
    assert "published, but not configured" in printed
    assert "public.outbox" in printed
    assert _statements(printed) == []


def test_a_slot_of_ones_own_is_part_of_the_difference(setup: Setup) -> None:
    config = setup.service.sidecar.config
    config.write_text(config.read_text().replace("create_slot = true", "create_slot = false"))
    setup.apply(setup.diff(*setup.as_owner()))
    with psycopg.connect(setup.service.dsn) as connection:
        slots = connection.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
        ).fetchall()
    assert slots == [(f"{setup.service.name}_cdc",)]
    assert _statements(setup.diff()) == []

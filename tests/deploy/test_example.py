"""The example on real servers: its setup Job, its topics, its ACLs and its configuration.

Only the addresses and the credentials are those of the test.
"""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AclOperation, AdminClient

from cdc_sidecar.commands.setup_sql import render_sql
from cdc_sidecar.config.load import load_config
from cdc_sidecar.kafka.topic_settings import INTERNAL
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.acls import create_acls
from tests.acceptance.events import read_topics
from tests.acceptance.secured import Secured, secured_broker
from tests.acceptance.sidecar import Sidecar
from tests.conftest import drop_slots
from tests.deploy.manifests import DEPLOY, KUBERNETES, ROOT, documents
from tests.deploy.strimzi import (
    bindings,
    create_topics,
    declared_acls,
    declared_topics,
    revoke,
    settings_of,
)
from tests.effort import LONG
from tests.waiting import await_true

_EXAMPLE = KUBERNETES / "example"
_USER, _PASSWORD = "bob", "b"  # whom the broker knows, and who may do nothing by default
_TABLES = """
CREATE TABLE orders (id bigint PRIMARY KEY, status text, total numeric(10, 2),
    placed_at timestamptz NOT NULL DEFAULT now(), note text);
CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text,
    payload jsonb);
"""
_ORDER = """
INSERT INTO orders VALUES (1, 'placed', 9.99);
INSERT INTO outbox VALUES (gen_random_uuid(), 'order', '1', 'OrderPlaced', '{"id": 1}');
"""


@pytest.fixture(scope="module")
def owner(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Yield a server with the database `orders` and its tables, but without the sidecar's role."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE orders")
        with psycopg.connect(postgres.dsn("orders"), autocommit=True) as owner:
            owner.execute(_TABLES.encode())
        yield postgres
        await_true(lambda: drop_slots(admin, "orders"), what="the slot of the example dropped")
        admin.execute("DROP DATABASE orders WITH (FORCE)")
        admin.execute("DROP ROLE IF EXISTS cdc_sidecar")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Yield a broker with the topics and the ACLs of `deploy/kubernetes/strimzi`."""
    with secured_broker(tmp_path_factory.mktemp("broker")) as secured:
        admin = _admin(secured)
        create_topics(admin)
        create_acls(admin, bindings(_USER))
        yield secured


@pytest.fixture
def sidecar(
    owner: PostgresServer, broker: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sidecar]:
    """Yield a sidecar with the configuration of the example, whose database is set up."""
    listen = free_port()
    for key, value in {
        "POSTGRES__DSN": f"host=127.0.0.1 port={owner.port} dbname=orders user=cdc_sidecar",
        "POSTGRES__PASSWORD": "new",
        "KAFKA__BOOTSTRAP_SERVERS": broker.servers("sasl"),
        "KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA__CLIENT__SASL_MECHANISM": "PLAIN",
        "KAFKA__CLIENT__SASL_USERNAME": _USER,
        "KAFKA__CLIENT__SASL_PASSWORD": _PASSWORD,
        "KAFKA__CLIENT__SSL_CA_LOCATION": str(broker.folder / "server.pem"),
        "HTTP__LISTEN": f"127.0.0.1:{listen}",
    }.items():
        monkeypatch.setenv(f"CDC_SIDECAR__{key}", value)
    path = tmp_path / "config.toml"
    path.write_text((_EXAMPLE / "config.toml").read_text("utf-8"), encoding="utf-8")
    run_setup_job(owner)
    made = Sidecar(path, listen)
    yield made
    made.close()


def run_setup_job(server: PostgresServer) -> str:
    """Run the script of the setup Job as its container does: without a terminal."""
    given = {
        "PATH": f"{server.bin('psql').parent}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGDATABASE": "orders",
        "PGUSER": "postgres",
        "ROLE": "cdc_sidecar",
        "ROLE_PASSWORD": "it's new",
        "PUBLICATION": "orders_cdc",
        "SETUP_SQL": str(_EXAMPLE / "setup" / "setup.sql"),
    }
    done = subprocess.run(
        ["bash", _EXAMPLE / "setup" / "setup.sh"],
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("secrets_exist")
@pytest.mark.parametrize(
    ("config", "sql"),
    [
        ("kubernetes/example/config.toml", "kubernetes/example/setup/setup.sql"),
        ("postgres/sample.toml", "postgres/setup.sql"),
    ],
)
def test_the_sql_is_what_the_command_prints(config: str, sql: str) -> None:
    printed = render_sql(load_config(DEPLOY / config, environment={}))
    assert (DEPLOY / sql).read_text("utf-8") == printed


def test_the_job_may_run_twice_and_sets_a_password_that_only_the_hash_leaves(
    owner: PostgresServer,
) -> None:
    run_setup_job(owner)
    assert "CREATE PUBLICATION" not in run_setup_job(owner)
    with psycopg.connect(owner.dsn("orders")) as connection:
        role = connection.execute(
            "SELECT rolpassword, rolreplication, rolsuper FROM pg_authid"
            " WHERE rolname = 'cdc_sidecar'"
        ).fetchone()
    assert role is not None
    assert role[0].startswith("SCRAM-SHA-256$")
    assert role[1:] == (True, False)


def test_the_job_knows_the_names_of_the_configuration() -> None:
    (kustomization,) = documents((_EXAMPLE / "setup" / "kustomization.yaml").read_text("utf-8"))
    literals = dict(each.split("=", 1) for each in kustomization["secretGenerator"][0]["literals"])
    postgres = tomllib.loads((_EXAMPLE / "config.toml").read_text("utf-8"))["postgres"]
    words = psycopg.conninfo.conninfo_to_dict(postgres["dsn"])
    assert (literals["PGHOST"], literals["PGDATABASE"]) == (words["host"], words["dbname"])
    assert literals["PGSSLMODE"] == words["sslmode"] == "verify-full"
    assert (literals["ROLE"], literals["PUBLICATION"]) == (words["user"], postgres["publication"])


def test_the_internal_topics_have_the_settings_with_which_the_sidecar_creates_them() -> None:
    for name in ("position", "schemas"):
        topic = declared_topics()[f"_cdc.orders.{name}"]
        assert settings_of(topic) == {**INTERNAL, "min.insync.replicas": "2"}
        assert (topic["partitions"], topic["replicas"]) == (1, 3)


def test_the_acls_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "how-to" / "deploy-beside-a-service.md").read_text("utf-8")
    rows = [line.split("|")[1:3] for line in page.split("## Kafka ACLs")[1].splitlines()]
    wanted = {row[0].strip(): {each.strip() for each in row[1].split(",")} for row in rows if row}
    internal = next(found for what, found in wanted.items() if "position" in what)
    ids = next(found for what, found in wanted.items() if what.startswith("transactional ids"))
    given: dict[str, set[str]] = {}
    for _, name, _, operation in declared_acls():
        given.setdefault(name, set()).add(operation)
    assert given == {
        "cdc.orders.orders_cdc": ids,
        "orders.": wanted["event topics"],
        "outbox.event.order": wanted["event topics"],
        "_cdc.orders.position": internal,
        "_cdc.orders.schemas": internal,
        "cdc-sidecar-reader": wanted["the group `cdc-sidecar-reader`"],
    }


def test_the_example_streams_with_exactly_these_acls_and_topics(
    sidecar: Sidecar, owner: PostgresServer, broker: Secured
) -> None:
    checked = sidecar.run("check", "--json")
    assert json.loads(checked.stdout)["ok"], checked.stdout
    sidecar.start_and_stream()
    with psycopg.connect(owner.dsn("orders")) as connection:
        connection.execute(_ORDER)

    def topics_with_events() -> bool:
        names = ["orders.public.orders", "outbox.event.order", "orders.transaction"]
        servers = broker.broker.bootstrap_servers
        return all(read_topics(servers, [name]) for name in names)

    await_true(topics_with_events, what="an event on every topic")
    assert sidecar.terminate() == 0, sidecar.log_text()


@pytest.mark.skipif(not LONG, reason="it takes away each ACL in turn: make test-long")
def test_each_acl_is_needed(sidecar: Sidecar, broker: Secured) -> None:
    admin = _admin(broker)
    for acl in bindings(_USER):
        # Read and Write include Describe, and `check` does not know the types of outbox events.
        if acl.operation is AclOperation.DESCRIBE or re.match(r"outbox\.", acl.name):
            continue
        revoke(admin, acl)
        assert sidecar.run("check").returncode != 0, acl
        create_acls(admin, [acl])
    assert sidecar.run("check").returncode == 0


def _admin(secured: Secured) -> AdminClient:
    return AdminClient({"bootstrap.servers": secured.broker.bootstrap_servers})

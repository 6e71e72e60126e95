"""A refusal of Kafka names its party and its setting; a replaced secret needs no restart."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.acls import create_acls
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import ITEMS
from tests.acceptance.secured import PASSWORD, Secured, client_table, secured_broker
from tests.waiting import await_true

_PLAIN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "alice",
    "sasl_password": PASSWORD,
}
_TLS = {"security_protocol": "SSL"}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Yield a broker with every kind of listener."""
    with secured_broker(tmp_path_factory.mktemp("certificates")) as started:
        yield started


@dataclass(frozen=True)
class Refusal:
    """A mistake, and what the error says about it."""

    listener: str
    settings: Mapping[str, object]
    fact: str
    hint: str
    code: str = "CDC-402"
    status: int = 3


def _refusals(secured: Secured) -> dict[str, Refusal]:
    sasl = secured.servers("sasl")
    return {
        "password": Refusal(
            "sasl", {**_PLAIN, "sasl_password": "x"}, "Invalid username or password",
            '"sasl.password"',
        ),
        "mechanism": Refusal(
            "sasl", {**_PLAIN, "sasl_mechanism": "SCRAM-SHA-512"}, "PLAIN,SCRAM-SHA-256",
            '"sasl.mechanism"',
        ),
        "sasl to plaintext": Refusal(
            "plaintext", _PLAIN, "not valid in current SASL state", '"security.protocol"'
        ),
        "plaintext to sasl": Refusal(
            "sasl", {}, f"listener {sasl} speaks SASL_PLAINTEXT",
            'set "security.protocol" = "SASL_PLAINTEXT"',
        ),
        "plaintext to tls": Refusal(
            "tls", {}, "speaks SSL", 'set "security.protocol" = "SSL"'
        ),
        "tls to plaintext": Refusal(
            "plaintext", _TLS, "speaks PLAINTEXT", 'set "security.protocol" = "PLAINTEXT"'
        ),
        "tls to sasl over tls": Refusal(
            "both", {**_TLS, "ssl_ca_location": f"{secured.folder}/server.crt"}, "speaks SASL_SSL",
            'set "security.protocol" = "SASL_SSL"',
        ),
        "authority": Refusal(
            "tls", {**_TLS, "enable_ssl_certificate_verification": "true"},
            "certificate could not be verified", '"ssl.ca.location"',
        ),
        "acls": Refusal(
            "sasl", {**_PLAIN, "sasl_username": "bob", "sasl_password": "b"},
            "operation Describe on topic _cdc.", "--allow-principal 'User:bob'",
        ),
    }  # fmt: skip


def _service(
    make_service: Callable[..., Service], secured: Secured, listener: str, more: str
) -> Service:
    service = make_service(TABLES + MARKS + more)
    config = service.sidecar.config
    config.write_text(config.read_text().replace(service.kafka, secured.servers(listener)))
    return service


def test_every_refusal_names_its_party_and_its_setting(
    secured: Secured, make_service: Callable[..., Service]
) -> None:
    refusals = _refusals(secured)
    services = {
        name: _service(make_service, secured, each.listener, client_table(**each.settings))
        for name, each in refusals.items()
    }
    next(iter(services.values())).sql(*ITEMS)
    for service in services.values():
        service.sidecar.start()
    for name, expected in refusals.items():
        sidecar = services[name].sidecar
        assert sidecar.await_exit(90) == expected.status, f"{name}\n{sidecar.log_text()}"
        halt = sidecar.events("sidecar_halted")[-1]
        told = (name, halt)
        assert halt["code"] == expected.code, told
        assert expected.fact in halt["fact"], told
        assert expected.hint in halt["hint"], told
        assert "Traceback" not in sidecar.log_text(), name


_ADMIN = f"""
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  username="alice" password="{PASSWORD}";
"""


def test_after_the_hints_about_the_protocol_and_the_acls_it_runs(
    secured: Secured, make_service: Callable[..., Service], postgres: PostgresServer
) -> None:
    """The first hint is about the protocol, and each of the others is about a resource.

    The user may create topics; the hint about that is one for each topic too.
    """
    bob = {**_PLAIN, "sasl_username": "bob", "sasl_password": "b"}
    settings = client_table(**{**bob, "security_protocol": "PLAINTEXT"})
    service = _service(make_service, secured, "sasl", settings)
    service.sql(*ITEMS)
    _allow_to_create("User:bob", secured.broker.bootstrap_servers)
    admin = service.sidecar.config.with_name("admin.properties")
    admin.write_text(_ADMIN)
    person = Person(service, secured.broker, postgres)
    person.credentials = ("--command-config", str(admin))
    assert set(person.start_and_obey()) == {"CDC-402"}


def _allow_to_create(principal: str, servers: str) -> None:
    rule = AclBinding(
        ResourceType.BROKER,
        "kafka-cluster",
        ResourcePatternType.LITERAL,
        principal,
        "*",
        AclOperation.CREATE,
        AclPermissionType.ALLOW,
    )
    create_acls(AdminClient({"bootstrap.servers": servers}), [rule])


def test_check_tells_the_same_at_once(
    secured: Secured, make_service: Callable[..., Service]
) -> None:
    wrong = client_table(**{**_PLAIN, "sasl_password": "x"})
    service = _service(make_service, secured, "sasl", wrong)
    run = service.sidecar.run("check", "--json")
    assert run.returncode == 1, run.stderr
    faults = [each for each in json.loads(run.stdout)["checks"] if each["subject"] == "brokers"]
    assert [fault["code"] for fault in faults] == ["CDC-402"]
    assert "Invalid username or password" in faults[0]["fact"]


def test_brokers_that_are_away_are_waited_for_with_the_reason(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES)
    service.sql(*ITEMS)
    config = service.sidecar.config
    config.write_text(config.read_text().replace(service.kafka, "nowhere.invalid:9092"))
    service.sidecar.start()
    await_true(lambda: service.sidecar.events("kafka_awaited"), what="it waits")
    assert "nowhere.invalid:9092" in service.sidecar.events("kafka_awaited")[0]["reason"]
    assert service.sidecar.terminate() == 0


def _with_password_in(path: Path, secured: Secured) -> str:
    return client_table(
        security_protocol="SASL_SSL",
        ssl_ca_location=secured.folder / "ca.pem",
        sasl_mechanism="SCRAM-SHA-256",
        sasl_username="alice",
        sasl_password=path,
    ).replace(f'{{ file = "{secured.folder}/ca.pem" }}', f'"{secured.folder}/ca.pem"')


def test_replaced_secrets_are_used_without_a_restart(
    secured: Secured, make_service: Callable[..., Service], tmp_path: Path
) -> None:
    """Authority and password are wrong at first; later the password changes while running."""
    password, authority = tmp_path / "password", secured.folder / "ca.pem"
    secured.set_password("right")
    password.write_text("wrong")
    authority.write_text((secured.folder / "stranger.crt").read_text())
    service = _service(make_service, secured, "both", _with_password_in(password, secured))
    service.kafka = secured.broker.bootstrap_servers
    service.sql(*ITEMS)
    sidecar = service.sidecar
    sidecar.start()
    _await_refusal(service, "certificate could not be verified")
    authority.write_text((secured.folder / "server.crt").read_text())
    _await_refusal(service, "invalid credentials")
    password.write_text("right\n")
    sidecar.await_phase("streaming")
    oracle = service.oracle()
    service.sql("INSERT INTO items VALUES (1, 1, 'before')")
    service.await_published()
    secured.set_password("rotated")
    password.write_text("rotated\n")
    service.sql("INSERT INTO items VALUES (2, 2, 'after')")
    await_true(lambda: len(sidecar.events("stream_started")) > 1, deadline=60, what="a new session")
    service.await_published()
    assert service.assert_exactly_once(oracle, "items") == 2


def _await_refusal(service: Service, fact: str) -> None:
    def refused() -> bool:
        ended = service.sidecar.events("session_ended")
        return any(each["code"] == "CDC-402" and fact in each["fact"] for each in ended)

    await_true(refused, what=f"refused: {fact}")

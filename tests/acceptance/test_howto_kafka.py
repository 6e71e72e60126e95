"""The how-to for secure connections to Kafka works as it is written, with the listed ACLs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.acls import create_acls
from tests.acceptance.certificates import Authority
from tests.acceptance.howto import Operator, Page

_KEY_PASSWORD = "key-password"  # noqa: S105 - of a key that lives as long as the test
_KAFKA_PASSWORD = "kafka-password"  # noqa: S105 - of a user of the test's broker
_README_KAFKA = '[kafka]\nbootstrap_servers = "localhost:9092"\n'


class SecureBroker:
    """A broker with a plain listener, one with SASL over TLS, and one with client certificates."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        certificate, key = authority.issue("broker")
        keys = folder / "keystore.pem"
        keys.write_bytes(key.read_bytes() + certificate.read_bytes())
        authority.issue("client", _KEY_PASSWORD.encode())
        self.broker = KafkaBroker()
        self.ports = {"SASL_SSL": free_port(), "SSL": free_port()}
        self.broker.properties = self._properties(keys, authority.certificate_path)

    def _properties(self, keys: Path, authority: Path) -> dict[str, str]:
        plain = f"PLAINTEXT://{self.broker.bootstrap_servers}"
        secure = [f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()]
        controller = f"CONTROLLER://127.0.0.1:{self.broker.controller_port}"
        protocols = ("PLAINTEXT", "SASL_SSL", "SSL")
        return {
            "listeners": ",".join([plain, *secure, controller]),
            "advertised.listeners": ",".join([plain, *secure]),
            "listener.security.protocol.map": ",".join(
                ["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in protocols)]
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keys),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority),
            "listener.name.ssl.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:CN=client",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common"
            ".security.scram.ScramLoginModule required;",
        }

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})

    def allow(self, operator: Operator) -> None:
        """Give the user of the page the ACLs of the table in the page about deployment."""
        service = operator.service
        bindings = []
        for place, operations in Page("deploy-beside-a-service").rows("operations"):
            names = [name.strip().upper() for name in operations.split(",")]
            for kind, prefix in _resources(place, service):
                bindings += [_allowed(kind, prefix, name) for name in names]
        create_acls(self._admin(), bindings)

    def add_user(self, name: str, password: str) -> None:
        """Let a user in by SCRAM."""
        admin = self._admin()
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(name, info, password.encode())
        for done in admin.alter_user_scram_credentials([user]).values():
            done.result(20)


_TOPIC, _GROUP = ResourceType.TOPIC, ResourceType.GROUP


def _resources(place: str, service: str) -> list[tuple[ResourceType, str]]:
    """Return the resources, as prefixes, that a row of the table of ACLs means."""
    events, internal = (_TOPIC, f"{service}."), (_TOPIC, f"_cdc.{service}.")
    for words, resources in {
        "transactional ids": [(ResourceType.TRANSACTIONAL_ID, f"cdc.{service}.orders_cdc")],
        "event topics": [events],
        "topics of [parked events]": [events],
        "`_cdc.": [internal],
        "all of these topics": [events, internal],
        "the group `cdc-sidecar-reader`": [(_GROUP, "cdc-sidecar-reader")],
        "the cluster": [],  # it is optional
    }.items():
        if place.startswith(words):
            return resources
    raise AssertionError(place)


def _allowed(kind: ResourceType, prefix: str, operation: str) -> AclBinding:
    written = operation.replace("DESCRIBECONFIGS", "DESCRIBE_CONFIGS")
    return AclBinding(
        kind,
        prefix,
        ResourcePatternType.PREFIXED,
        "User:orders-cdc",
        "*",
        AclOperation[written],
        AclPermissionType.ALLOW,
    )


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that stands for /run/secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "kafka_password").write_text(f"{_KAFKA_PASSWORD}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def secure(secrets: Path) -> Iterator[SecureBroker]:
    """Yield the broker, with the user of the page."""
    made = SecureBroker(secrets)
    with made.broker:
        made.add_user("orders-cdc", _KAFKA_PASSWORD)
        yield made


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SSL"])
def test_the_sidecar_streams_over_a_secure_connection(
    protocol: str,
    database: str,
    postgres: PostgresServer,
    secure: SecureBroker,
    secrets: Path,
    tmp_path: Path,
) -> None:
    page = Page("secure-kafka")
    operator = Operator(tmp_path, database, secure.broker.bootstrap_servers, postgres)
    operator.prepare()
    blocks = {"SASL_SSL": page.take("toml", "SASL_SSL"), "SSL": page.take("toml", '= "SSL"')}
    block = blocks[protocol].replace("/run/secrets", str(secrets))
    operator.replace(_README_KAFKA, "" if "[kafka]" in block else _README_KAFKA)
    operator.configure(block)
    address = f'"127.0.0.1:{secure.ports[protocol]}"'
    operator.environment["CDC_SIDECAR__KAFKA__BOOTSTRAP_SERVERS"] = address
    operator.environment["KAFKA_KEY_PASSWORD"] = _KEY_PASSWORD
    secure.allow(operator)
    try:
        assert " 0 faults" in operator.sh(page.take("sh", "cdc-sidecar check"))
        operator.sidecar.start_and_stream()
        operator.sql("INSERT INTO orders VALUES (1)")
        assert operator.rows("orders", 1) == [("c", 1)]
        operator.stop()
        assert "it was stopped" in operator.sh("cdc-sidecar status -c orders.toml", status=1)
        assert "removed  topic" in operator.sh("cdc-sidecar teardown -c orders.toml --yes")
    finally:
        operator.close()
    page.assert_taken()

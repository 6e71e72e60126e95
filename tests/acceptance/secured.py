"""A broker with a listener for each security protocol, and what its clients need."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.certificates import write_self_signed

PASSWORD = "first"  # noqa: S105 - of a broker that lives for a test
_LOGIN = "org.apache.kafka.common.security"
_SASL = {
    "plain": f'{_LOGIN}.plain.PlainLoginModule required user_alice="{PASSWORD}" user_bob="b";',
    "scram-sha-256": f"{_LOGIN}.scram.ScramLoginModule required;",
}
_PROTOCOLS = {
    "plaintext": "PLAINTEXT",
    "sasl": "SASL_PLAINTEXT",
    "tls": "SSL",
    "both": "SASL_SSL",
}
_MECHANISM = ScramMechanism.SCRAM_SHA_256


@dataclass(frozen=True)
class Secured:
    """The broker, the ports of its listeners by protocol, and the folder of the certificates."""

    broker: KafkaBroker
    ports: dict[str, int]
    folder: Path

    def servers(self, listener: str) -> str:
        """Return the bootstrap servers of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def set_password(self, password: str) -> None:
        """Give user alice another password for SCRAM."""
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})
        change = UserScramCredentialUpsertion(
            "alice", ScramCredentialInfo(_MECHANISM, 4096), password.encode()
        )
        for answer in admin.alter_user_scram_credentials([change]).values():
            answer.result(30)


@contextmanager
def secured_broker(folder: Path) -> Iterator[Secured]:
    """Start a broker that knows users alice, who may do everything, and bob, who may do nothing.

    A session of SASL ends after two seconds unless the client proves its credentials again.
    """
    for name in ("server", "stranger"):
        write_self_signed(folder, name)
    pem = folder / "server.pem"
    broker = KafkaBroker()
    ports = {name: broker.port if name == "plaintext" else free_port() for name in _PROTOCOLS}
    addresses = [f"{name.upper()}://127.0.0.1:{port}" for name, port in ports.items()]
    mapping = [f"{name.upper()}:{protocol}" for name, protocol in _PROTOCOLS.items()]
    broker.properties = {
        "listeners": ",".join([*addresses, f"CONTROLLER://127.0.0.1:{broker.controller_port}"]),
        "advertised.listeners": ",".join(addresses),
        "listener.security.protocol.map": ",".join([*mapping, "CONTROLLER:PLAINTEXT"]),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "connections.max.reauth.ms": "2000",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pem),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:alice",
        **{
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": login
            for listener in ("sasl", "both")
            for mechanism, login in _SASL.items()
        },
    }
    with broker:
        yield Secured(broker, ports, folder)


def client_table(**settings: object) -> str:
    """Return `[kafka.client]` with settings whose dots are written as underscores."""
    lines = [f'"{name.replace("_", ".")}" = {_toml(value)}' for name, value in settings.items()]
    return "\n".join(["", "[kafka.client]", *lines, ""])


def _toml(value: object) -> str:
    return f'{{ file = "{value}" }}' if isinstance(value, Path) else f'"{value}"'

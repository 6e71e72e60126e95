"""Mistakes about Kafka: address, protocol, credentials, ACLs, topics and limits."""

import re
import shlex
from collections.abc import Mapping
from itertools import pairwise

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.acceptance.acls import create_acls
from tests.acceptance.mistakes.case import Do, Mistake, Toml, Undo
from tests.acceptance.mistakes.stage import Stage, faults_in, text_of
from tests.acceptance.secured import PASSWORD
from tests.topics import delete_topics, make_topic, set_topic

_SERVERS = 'bootstrap_servers = "$kafka"'
_ACL = re.compile(r"kafka-acls\.sh --bootstrap-server \S+ ([^(;\n]+)")
_CONFIG = re.compile(r"kafka-configs\.sh .*--topic (\S+) --add-config (\S+?)=(\S+)")
_RAISE = re.compile(r"raise (\S+) of topic (\S+) to at least (\d+)")
_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
_ROUNDS = 4
"""A missing ACL may hide another."""


def _client(servers: str, **settings: str) -> tuple[tuple[str, str], ...]:
    """Return the replacement of the servers by a listener, and `[kafka.client]`."""
    lines = [f'"{name.replace("_", ".")}" = "{value}"' for name, value in settings.items()]
    address = f'bootstrap_servers = "{servers}"'
    return ((_SERVERS, "\n".join([address, "[kafka.client]", *lines])),)


def _sasl(
    password: str = PASSWORD, mechanism: str = "PLAIN", user: str = "alice"
) -> tuple[tuple[str, str], ...]:
    return _client(
        "$sasl", security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, sasl_username=user,
        sasl_password=password,
    )  # fmt: skip


def _tls(name: str) -> tuple[tuple[str, str], ...]:
    return _client("$tls", security_protocol="SSL", ssl_ca_location=name)


def _make(
    stage: Stage, topic: str, config: Mapping[str, str] | None = None, partitions: int = 1
) -> None:
    make_topic(stage.kafka, stage.fill(topic), partitions=partitions, settings=config)


_INTERNAL = {"cleanup.policy": "compact"}


def _make_all(stage: Stage) -> None:
    """Create every topic that the service needs."""
    _make(stage, "_cdc.$s.position", _INTERNAL)
    _make(stage, "_cdc.$s.schemas", _INTERNAL)
    _make(stage, "$s.$s.items")


def _delete(stage: Stage) -> None:
    delete_topics(stage.kafka, stage.fill("_cdc.$s.position"))


def _configure(stage: Stage) -> None:
    """Change settings of topics as the hint says."""
    text = text_of(faults_in(stage.check()[1]))
    changes = _CONFIG.findall(text)
    changes += [(topic, setting, value) for setting, topic, value in _RAISE.findall(text)]
    assert changes, text
    for topic, setting, value in changes:
        set_topic(stage.kafka, topic, setting, value)


def _allow(stage: Stage, kind: str, name: str, *operations: str) -> None:
    """Add the ACLs of the user who is named like the service."""
    bindings = [
        AclBinding(
            _KINDS[kind], name, ResourcePatternType.LITERAL, f"User:{stage.name}", "*",
            AclOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()],
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]  # fmt: skip
    create_acls(stage.admin, bindings)


def _follow_acls(stage: Stage) -> None:
    """Run the commands of each hint."""
    for _ in range(_ROUNDS):
        commands = _ACL.findall(text_of(faults_in(stage.check()[1])))
        if not commands:
            return
        for command in commands:
            words = shlex.split(command)
            assert f"User:{stage.name}" in words, command
            options = list(pairwise(words))
            operations = [value for option, value in options if option == "--operation"]
            (kind,) = [word[2:] for word in words if word[2:] in _KINDS]
            name = "kafka-cluster" if kind == "cluster" else dict(options)[f"--{kind}"]
            _allow(stage, kind, name, *operations)


_NEEDED = {
    "topic $s.$s.items": ("Describe", "DescribeConfigs", "Write"),
    "topic _cdc.$s.position": ("Describe", "DescribeConfigs", "Write", "Read"),
    "topic _cdc.$s.schemas": ("Describe", "DescribeConfigs", "Write", "Read"),
    "transactional-id cdc.$s.$s": ("Describe", "Write"),
    "transactional-id cdc.$s.$s.check": ("Describe", "Write"),
    "group cdc-sidecar-reader": ("Read",),
}


def _lack(name: str, resource: str, *operations: str, made: bool = True) -> Mistake:
    """Return the mistake of a user with every ACL but some."""

    def prepare(stage: Stage) -> None:
        user = UserScramCredentialUpsertion(
            stage.name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), PASSWORD.encode()
        )
        for answer in stage.admin.alter_user_scram_credentials([user]).values():
            answer.result(20)
        if made:
            _make_all(stage)
        for each, needed in _NEEDED.items():
            kind, _, of = stage.fill(each).partition(" ")
            lacking = operations if each == resource else ()
            allowed = [operation for operation in needed if operation not in lacking]
            if allowed:
                _allow(stage, kind, of, *allowed)

    kind, _, of = resource.partition(" ")
    said = f"--{kind} '{of}'" if of else f"--{kind}"
    toml = _sasl(mechanism="SCRAM-SHA-256", user="$s")
    return Mistake(name, "CDC-402", (Do(said, _follow_acls),), toml=toml, act=prepare)


_COMPACTED = 'config = { "cleanup.policy" = "compact" }\n[publish]'
_ITEMS = 'name = "$s.items"\ncolumns = ["*"]\n'

MISTAKES = (
    Mistake("Kafka is down", "CDC-401", (Undo("correct kafka.bootstrap_servers"),),
            toml=_client("127.0.0.1:1")),
    Mistake("a firewall before Kafka", "CDC-401", (Undo("correct kafka.bootstrap_servers"),),
            toml=_client("127.0.0.1:$silent")),
    Mistake("the host of Kafka is misspelt", "CDC-401",
            (Undo("correct the host in kafka.bootstrap_servers"),),
            toml=_client("no-such-host.invalid:9092")),
    Mistake("the port of Postgres instead of Kafka", "CDC-401",
            (Undo("correct kafka.bootstrap_servers"),), toml=_client("127.0.0.1:$pg")),
    Mistake("no SASL where the listener asks for it", "CDC-402",
            (Undo('set "security.protocol" = "SASL_PLAINTEXT" in [kafka.client]'),),
            toml=_client("$sasl")),
    Mistake("SASL where the listener has none", "CDC-402",
            (Toml('"SASL_PLAINTEXT"', '"PLAINTEXT"', '"security.protocol" = "PLAINTEXT"'),),
            toml=tuple((old, new.replace("$sasl", "$kafka")) for old, new in _sasl())),
    Mistake("no TLS where the listener asks for it", "CDC-402",
            (Undo('set "security.protocol" = "SSL" in [kafka.client]'),), toml=_client("$tls")),
    Mistake("TLS where the listener has none", "CDC-402",
            (Undo('set "security.protocol" = "PLAINTEXT" in [kafka.client]'),),
            toml=_client("$kafka", security_protocol="SSL")),
    Mistake("a certificate that the client does not trust", "CDC-402",
            (Toml("stranger.crt", "server.crt", 'set "ssl.ca.location" in [kafka.client]'),),
            toml=_tls("$certificates/stranger.crt")),
    Mistake("a certificate file that is missing", "CDC-403",
            (Toml("nowhere.crt", "server.crt", 'correct "ssl.ca.location" in [kafka.client]'),),
            toml=_tls("$certificates/nowhere.crt")),
    Mistake("a wrong password of Kafka", "CDC-402",
            (Toml('"wrong"', f'"{PASSWORD}"', 'correct "sasl.username" and "sasl.password"'),),
            toml=_sasl("wrong")),
    Mistake("a mechanism that the listener does not offer", "CDC-402",
            (Toml('"SCRAM-SHA-512"', '"PLAIN"', 'set "sasl.mechanism" in [kafka.client]'),),
            toml=_sasl(mechanism="SCRAM-SHA-512")),
    Mistake("an unknown setting of the client", "CDC-403",
            (Toml('"linger.msec" = "5"', "", 'correct "linger.msec" in [kafka.client]'),),
            toml=_client("$kafka", linger_msec="5")),
    Mistake("a wrong value of a setting of the client", "CDC-403",
            (Toml('"none at all"', '"lz4"', 'correct "compression.codec"'),),
            toml=_client("$kafka", compression_type="none at all")),
    Mistake("missing topics that may not be created", "CDC-404",
            (Toml("create = false", "create = true", "set create = true in [topics]"),),
            toml=(("\ncreate = true", "\ncreate = false"),)),
    Mistake("more replicas than brokers", "CDC-402",
            (Toml("replication_factor = 3", "replication_factor = 1",
                  "set replication_factor in [topics] to at most the number of brokers"),),
            toml=(("replication_factor = 1", "replication_factor = 3"),)),
    Mistake("more in-sync replicas than replicas", "CDC-405",
            (Toml('"min.insync.replicas" = "2"', '"min.insync.replicas" = "1"'),),
            toml=(("[publish]", 'config = { "min.insync.replicas" = "2" }\n[publish]'),)),
    Mistake("an unknown setting of topics", "CDC-402", (Undo("correct [topics.config]"),),
            toml=(("[publish]", 'config = { "retention.mss" = "1" }\n[publish]'),)),
    Mistake("a wrong value of a setting of topics", "CDC-402", (Undo("correct [topics.config]"),),
            toml=(("[publish]", 'config = { "retention.ms" = "1 week" }\n[publish]'),)),
    Mistake("a compacted topic for truncate events", "CDC-405",
            (Toml('truncate = "event"', 'truncate = "skip"'),),
            toml=(("[publish]", _COMPACTED), (_ITEMS, f'{_ITEMS}truncate = "event"\n'))),
    Mistake("a position topic that is not compacted", "CDC-405",
            (Do("--topic _cdc.$s.position --add-config cleanup.policy=compact", _configure),),
            act=lambda stage: _make(stage, "_cdc.$s.position")),
    Mistake("a position topic with two partitions", "CDC-405",
            (Do("--delete --topic _cdc.$s.position", _delete),),
            act=lambda stage: _make(stage, "_cdc.$s.position", _INTERNAL, 2)),
    Mistake("a schemas topic that takes small records only", "CDC-405",
            (Do("raise max.message.bytes of topic _cdc.$s.schemas to at least", _configure),),
            act=lambda stage: _make(stage, "_cdc.$s.schemas",
                                    {**_INTERNAL, "max.message.bytes": "1000"})),
    Mistake("a transaction time-out that the brokers refuse", "CDC-402",
            (Toml('"1h"', '"15m"', 'set transaction_timeout = "15m" in [publish]'),),
            toml=(('"30s"', '"1h"'),)),
    _lack("no Write on an event topic", "topic $s.$s.items", "Write"),
    _lack("no Describe on an event topic", "topic $s.$s.items", "Describe", "DescribeConfigs",
          "Write"),
    _lack("no DescribeConfigs on an event topic", "topic $s.$s.items", "DescribeConfigs"),
    _lack("no Read on the position topic", "topic _cdc.$s.position", "Read"),
    _lack("no privilege on the transactional id", "transactional-id cdc.$s.$s.check", "Describe",
          "Write"),
    _lack("topics that may not be created", "topic $s.$s.items", made=False),
)  # fmt: skip

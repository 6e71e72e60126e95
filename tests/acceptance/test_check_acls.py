"""`check` finds a privilege on Kafka that is missing, before `run` needs it."""

from collections.abc import Callable, Iterator
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

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.acls import create_acls
from tests.acceptance.conftest import TABLES, Service, service_maker
from tests.acceptance.test_check import faults_of, refusal_of
from tests.topics import make_topic

_AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
_EVERYBODY = "User:ANONYMOUS"


@pytest.fixture
def make_guarded(database: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services on a broker that allows everything until a test denies it."""
    with (
        KafkaBroker(properties=_AUTHORIZER) as broker,
        service_maker(database, broker.bootstrap_servers, tmp_path) as make,
    ):
        yield make


def _deny(admin: AdminClient, kind: ResourceType, name: str, denied: AclOperation) -> None:
    """Deny one operation on a resource, and allow all others."""
    rules = ((denied, AclPermissionType.DENY), (AclOperation.ALL, AclPermissionType.ALLOW))
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, _EVERYBODY, "*", operation, permission)
        for operation, permission in rules
    ]
    create_acls(admin, bindings)


def test_topics_that_may_not_be_created_or_written_are_refused(
    make_guarded: Callable[..., Service],
) -> None:
    service = make_guarded(TABLES)
    service.sql(
        "CREATE TABLE items (id int PRIMARY KEY)",
        "CREATE TABLE notes (id int PRIMARY KEY)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    items, notes = service.topics("items", "notes")
    admin = AdminClient({"bootstrap.servers": service.kafka})
    make_topic(service.kafka, notes)
    _deny(admin, ResourceType.BROKER, "kafka-cluster", AclOperation.CREATE)
    _deny(admin, ResourceType.TOPIC, items, AclOperation.CREATE)
    _deny(admin, ResourceType.TOPIC, notes, AclOperation.WRITE)
    faults = {fault["subject"]: fault for fault in faults_of(service)}
    assert faults.keys() == {f"topic {items}", "privileges on 1 topic(s)"}
    assert {fault["code"] for fault in faults.values()} == {"CDC-402"} == {refusal_of(service)}
    assert f"Write on topic {notes}" in faults["privileges on 1 topic(s)"]["fact"]

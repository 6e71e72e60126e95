"""Makes the topics and the ACLs of `deploy/kubernetes/strimzi`, as Strimzi's operators do."""

from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from tests.deploy.manifests import KUBERNETES, Document, documents

_KINDS: Final = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
_PATTERNS: Final = {
    "literal": ResourcePatternType.LITERAL,
    "prefix": ResourcePatternType.PREFIXED,
}
_OPERATIONS: Final = {each.name.replace("_", ""): each for each in AclOperation}


def declared_topics() -> dict[str, Document]:
    """Return the specifications of the KafkaTopics by the names of their topics."""
    found = {}
    for name in ("topics-internal", "topics-events"):
        for each in documents((KUBERNETES / "strimzi" / f"{name}.yaml").read_text("utf-8")):
            assert (each["apiVersion"], each["kind"]) == ("kafka.strimzi.io/v1", "KafkaTopic")
            found[each["spec"].get("topicName", each["metadata"]["name"])] = each["spec"]
    return found


def declared_acls() -> list[tuple[str, str, str, str]]:
    """Return type, name, pattern and operation of each ACL of the KafkaUser."""
    (user,) = documents((KUBERNETES / "strimzi" / "user.yaml").read_text("utf-8"))
    assert (user["apiVersion"], user["kind"]) == ("kafka.strimzi.io/v1", "KafkaUser")
    return [
        (rule["resource"]["type"], rule["resource"]["name"], rule["resource"]["patternType"], each)
        for rule in user["spec"]["authorization"]["acls"]
        for each in rule["operations"]
    ]


def settings_of(topic: Document) -> dict[str, str]:
    """Return the settings of a topic as Kafka writes them."""
    return {key: _written(value) for key, value in topic["config"].items()}


def create_topics(admin: AdminClient) -> None:
    """Create the declared topics on a single broker, which has no room for copies."""
    topics = [
        NewTopic(name, spec["partitions"], 1, config=_alone(settings_of(spec)))
        for name, spec in declared_topics().items()
    ]
    _await(admin.create_topics(topics))


def bindings(user: str) -> list[AclBinding]:
    """Return the declared ACLs for a user."""
    return [
        AclBinding(
            _KINDS[kind],
            name,
            _PATTERNS[pattern],
            f"User:{user}",
            "*",
            _OPERATIONS[operation.upper()],
            AclPermissionType.ALLOW,
        )
        for kind, name, pattern, operation in declared_acls()
    ]


def revoke(admin: AdminClient, acl: AclBinding) -> None:
    """Delete one ACL."""
    wanted = AclBindingFilter(
        acl.restype,
        acl.name,
        acl.resource_pattern_type,
        acl.principal,
        acl.host,
        acl.operation,
        acl.permission_type,
    )
    (deleted,) = _await(admin.delete_acls([wanted]))
    assert len(deleted) == 1


def _written(value: Any) -> str:  # noqa: ANN401 - of YAML
    return str(value).lower() if isinstance(value, bool) else str(value)


def _alone(settings: dict[str, str]) -> dict[str, str]:
    return {**settings, "min.insync.replicas": "1"}


def _await(answers: dict[Any, Future[Any]]) -> list[Any]:
    return [answer.result(20) for answer in answers.values()]

"""The operations on topics that the brokers allow us (KIP-430), asked without trying them."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from cdc_sidecar.errors import KafkaRefused
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, answer_of

Operations = tuple[AclOperation, ...]
"""Operations that an ACL allows or denies."""
WRITTEN: Final[Operations] = (AclOperation.WRITE,)
"""The operations on event topics, apart from those with which they are described."""
READ_BACK: Final[Operations] = (AclOperation.WRITE, AclOperation.READ)
"""The operations on the position and schemas topics."""


def check_allowed(admin: AdminClient, topics: Iterable[str], operations: Operations) -> None:
    """Check that operations on existing topics are allowed.

    Raises:
        KafkaRefused: an operation is not; the error names it.
        KafkaUnavailable: the brokers do not answer.

    """
    names = TopicCollection(sorted(topics))
    answers = admin.describe_topics(
        names, include_authorized_operations=True, request_timeout=REQUEST_TIMEOUT
    )
    denied = []
    for name, answer in answers.items():
        allowed = answer_of(answer).authorized_operations
        if allowed is not None:
            denied += [f"{o.name.title()} on topic {name}" for o in operations if o not in allowed]
    if denied:
        raise KafkaRefused(
            f"not allowed: {', '.join(denied)}",
            cause="the brokers' ACLs",
            hint="allow the sidecar's Kafka user these operations"
            " (docs/how-to/deploy-beside-a-service.md, Kafka ACLs)",
        )

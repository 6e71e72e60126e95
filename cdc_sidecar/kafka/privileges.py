"""The operations on topics that the brokers allow us (KIP-430), asked without trying them."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AclOperation

from cdc_sidecar.errors import KafkaRefused
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, Admin, Asked, answer_of, permission_hint

Operations = tuple[AclOperation, ...]
"""Operations that an ACL allows or denies."""
WRITTEN: Final[Operations] = (AclOperation.WRITE,)
"""The operations on event topics, apart from those with which they are described."""
READ_BACK: Final[Operations] = (AclOperation.WRITE, AclOperation.READ)
"""The operations on the position and schemas topics."""


def check_allowed(admin: Admin, topics: Iterable[str], operations: Operations) -> None:
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
            denied += [
                Asked(operation.name.title(), f"topic {name}")
                for operation in operations
                if operation not in allowed
            ]
    if denied:
        raise KafkaRefused(
            f"not allowed: {', '.join(f'{each.operation} on {each.resource}' for each in denied)}",
            cause="the brokers' ACLs",
            hint=permission_hint(admin.reason, *denied),
        )

"""Makes, changes and deletes topics on a real broker, and waits until the broker shows it.

The controller answers first. For a while after its answer, the broker still describes what was
before: milliseconds, or seconds on a machine with other work.
"""

from collections.abc import Mapping
from typing import Final

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from tests.waiting import await_true

_TIMEOUT: Final = 30.0  # seconds


def make_topic(
    kafka: str, name: str, *, partitions: int = 1, settings: Mapping[str, str] | None = None
) -> None:
    """Make a topic that has one replica."""
    make_topics(kafka, NewTopic(name, partitions, 1, config=dict(settings or {})))


def make_topics(kafka: str, *topics: NewTopic) -> None:
    """Make topics."""
    admin = AdminClient({"bootstrap.servers": kafka})
    names = {topic.topic for topic in topics}
    for answer in admin.create_topics(list(topics)).values():
        answer.result(_TIMEOUT)
    await_true(lambda: names <= topics_of(kafka), what=f"{len(names)} topic(s) made")


def delete_topics(kafka: str, *names: str) -> None:
    """Delete topics."""
    admin = AdminClient({"bootstrap.servers": kafka})
    for answer in (admin.delete_topics(list(names)) if names else {}).values():
        answer.result(_TIMEOUT)
    await_true(lambda: not topics_of(kafka) & set(names), what=f"{len(names)} topic(s) deleted")


def set_topic(kafka: str, name: str, setting: str, value: str) -> None:
    """Change a setting of a topic."""
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.incremental_alter_configs([changed])[changed].result(_TIMEOUT)

    def is_set() -> bool:
        asked = ConfigResource(ResourceType.TOPIC, name)
        described = admin.describe_configs([asked])[asked].result(_TIMEOUT)
        return bool(described[setting].value == value)

    await_true(is_set, what=f"{setting}={value} of {name}")


def topics_of(kafka: str) -> set[str]:
    """Return the names of all topics."""
    return set(AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=_TIMEOUT).topics)

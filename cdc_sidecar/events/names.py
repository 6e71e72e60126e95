"""Names of Postgres as names of Avro and Kafka: illegal characters become `_xHHHH_`, reversibly.

Avro specification 1.11, "Names": `[A-Za-z_][A-Za-z0-9_]*`. Kafka's topics: `[A-Za-z0-9._-]`, at
most 249 characters.
"""

import re
from typing import Final

MAX_TOPIC_LENGTH: Final = 249  # Kafka's own limit: a topic is a folder of its brokers
_PARKED: Final = "parked"
_ESCAPE: Final = re.compile(r"_x[0-9A-F]{4,6}_")
# an underscore is escaped where it would look like the start of an escape
_AVRO_ILLEGAL: Final = re.compile(r"_(?=x[0-9A-F]{4,6}[^A-Za-z0-9])|[^A-Za-z0-9_]|^[0-9]")
_TOPIC_ILLEGAL: Final = re.compile(r"_(?=x[0-9A-F]{4,6}[^A-Za-z0-9-])|[^A-Za-z0-9_-]")


def _escape(match: re.Match[str]) -> str:
    return f"_x{ord(match[0]):04X}_"


def avro_name(name: str) -> str:
    """Return `name` as a legal Avro name."""
    return _AVRO_ILLEGAL.sub(_escape, name)


def topic_part(name: str) -> str:
    """Return `name` as one part of a topic; a dot within it is escaped too."""
    return _TOPIC_ILLEGAL.sub(_escape, name)


def unescape(name: str) -> str:
    """Return the name that became `name` in `avro_name` or `topic_part`."""
    return _ESCAPE.sub(lambda match: chr(int(match[0][2:-1], 16)), name)


def table_topic(service: str, namespace: str, table: str) -> str:
    """Return the topic of a table: `<service>.<schema>.<table>`."""
    return ".".join(topic_part(part) for part in (service, namespace, table))


def ambiguity(namespace: str, table: str) -> list[str]:
    """Return why the name `schema.table` is ambiguous, if it is."""
    if "." not in namespace:
        return []  # then everything after the first dot is the table's name
    mistake = (
        f"schema {namespace} has a dot in its name, so {namespace}.{table} may be the name of"
        " another table: rename the schema, or leave the table out"
    )
    return [mistake]


def length_mistakes(topic: str) -> list[str]:
    """Return why a topic cannot be created, if its name is too long."""
    if len(topic) <= MAX_TOPIC_LENGTH:
        return []
    mistake = (
        f"its topic would have a name of {len(topic)} characters, but Kafka allows"
        f" {MAX_TOPIC_LENGTH}: rename the table, or leave it out"
    )
    return [mistake]


def table_namespace(service: str, namespace: str, table: str) -> str:
    """Return the Avro namespace of a table's records."""
    return ".".join(avro_name(part) for part in (service, namespace, table))


def parked_topic(topic: str) -> str:
    """Return the topic of the parked events of a table, whose topic is given."""
    return f"{topic}.{_PARKED}"


def parked_messages_topic(service: str, prefix: str) -> str:
    """Return the topic of the parked events of an outbox of messages.

    It has one part more than that of a table, so that no two are the same.
    """
    return f"{topic_part(service)}.outbox.message.{topic_part(prefix)}.{_PARKED}"


def message_topic(service: str) -> str:
    """Return the topic of logical messages."""
    return f"{topic_part(service)}.message"


def transaction_topic(service: str) -> str:
    """Return the topic of BEGIN and END records."""
    return f"{topic_part(service)}.transaction"


def notification_topic(service: str) -> str:
    """Return the topic of notifications about snapshots."""
    return f"{topic_part(service)}.notification"


def position_topic(service: str) -> str:
    """Return the topic that holds the position."""
    return f"_cdc.{topic_part(service)}.position"


def schemas_topic(service: str) -> str:
    """Return the topic that holds schemas and layouts."""
    return f"_cdc.{topic_part(service)}.schemas"

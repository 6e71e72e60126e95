"""The route of records to one topic: the prefixes of keys and values, and the limit of size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.errors import RecordTooLarge
from cdc_sidecar.events.catalog import Catalog
from cdc_sidecar.events.record import ANY_PARTITION, NOW, Headers, Record
from cdc_sidecar.events.registry.protocol import Registry
from cdc_sidecar.events.schema import wire_prefix

BATCH_OVERHEAD: Final = 512
"""Bytes kept free below `max.message.bytes`: the header of a record batch has 61, the framing of a
record at most 36, and BEGIN and END get `part` (6) later. The rest is a margin.
"""


_ROOM: Final = 4096
"""Bytes that a record may need in addition to key and value, whichever limit it meets."""


@dataclass(frozen=True, slots=True)
class TopicRoute:
    """Where records go: table, outbox, messages and transaction metadata have one each.

    A route without a key schema or a value schema has an empty prefix there.
    """

    topic: str
    key_prefix: bytes
    value_prefix: bytes
    partitions: int
    limit: int  # bytes of key, value and header values
    remedy: str = ""  # a way to make records smaller, for the hint
    limited_by: str = ""  # as `TopicFacts` has it

    @classmethod
    def open(
        cls,
        topic: str,
        schemas: Mapping[str, str],
        registry: Registry,
        catalog: Catalog,
        *,
        overhead: int = BATCH_OVERHEAD,
        remedy: str = "",
        parked: bool = False,
    ) -> "TopicRoute":
        """Register the schemas of `key` and `value`, and ask for the topic's facts.

        `parked`: the topic is for parked events.

        Raises:
            SidecarError: registry or catalog cannot answer; `open` may be called again.

        """
        facts = catalog.topic_facts(topic, parked=parked)
        prefixes = {
            part: wire_prefix(registry.register(f"{topic}-{part}", schema))
            for part, schema in schemas.items()
        }
        return cls(
            topic,
            prefixes.get("key", b""),
            prefixes.get("value", b""),
            facts.partitions,
            facts.max_message_bytes - overhead,
            remedy,
            facts.limited_by,
        )

    def record(
        self,
        value: bytes | None,
        key: bytes | None,
        partition: int = ANY_PARTITION,
        headers: Headers | None = None,
        timestamp: int = NOW,
    ) -> Record:
        """Make a record of a whole value and of a key without its prefix.

        Raises:
            RecordTooLarge: the topic does not take it.

        """
        framed = None if key is None else self.key_prefix + key
        record = Record(self.topic, value, framed, partition, headers, timestamp)
        if record.size > self.limit:
            raise self.too_large(record.size)
        return record

    def too_large(self, size: int) -> RecordTooLarge:
        """Return the error of a record of `size` bytes."""
        remedy = f", or {self.remedy}" if self.remedy else ""
        return RecordTooLarge(
            f"{size} bytes, but topic {self.topic} takes {self.limit}",
            hint=f"raise {self.limited_by or f'max.message.bytes of topic {self.topic}'} to at"
            f" least {size + _ROOM}{remedy}; then restart",
        )

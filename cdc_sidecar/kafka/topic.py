"""An existing topic, with every limit that a record for it meets on its way into the log."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from confluent_kafka.admin import TopicMetadata

from cdc_sidecar.events.catalog import TopicFacts

DEFAULT_SEGMENT: Final = 1_073_741_824
"""Kafka's default of segment.bytes: a batch must fit into one segment."""

_UNCLEAN: Final = "unclean.leader.election.enable"

REQUEST_LIMIT: Final = "socket.request.max.bytes"
"""The brokers' setting of the longest request; they close a connection that sends a longer one."""

REQUEST_OVERHEAD: Final = 2048
"""Bytes of a produce request besides its records: the names of client, transaction and topic have
at most 249 bytes each."""


def alter_topic(servers: str, topic: str, setting: str, value: object) -> str:
    """Return the command that changes a setting of a topic that exists."""
    return (
        f"run kafka-configs.sh --bootstrap-server {servers} --alter --topic {topic}"
        f" --add-config {setting}={value}"
    )


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is or, if it is only planned, as the brokers would create it."""

    name: str
    partitions: int
    replication_factor: int
    max_message_bytes: int
    cleanup_policy: str
    min_insync_replicas: int
    segment_bytes: int
    unclean_leader_election: bool = False
    exists: bool = True

    def facts(self, largest_request: int | None) -> TopicFacts:
        """Return the facts that a record must fit: all limits between us and the topic's log."""
        of_topic = f"of topic {self.name}"
        limits = [
            (self.max_message_bytes, f"max.message.bytes {of_topic}"),
            (self.segment_bytes, f"segment.bytes {of_topic}"),
        ]
        if largest_request is not None:
            limits.append((largest_request - REQUEST_OVERHEAD, f"{REQUEST_LIMIT} of the brokers"))
        smallest, setting = min(limits, key=itemgetter(0))
        return TopicFacts(self.partitions, smallest, setting)

    @property
    def compacted(self) -> bool:
        """Whether compaction removes records by key."""
        return "compact" in self.cleanup_policy

    def to_keep_records(self, servers: str) -> str:
        """Return how the topic becomes fit for positions and schemas."""
        if self.partitions == 1:
            return alter_topic(servers, self.name, "cleanup.policy", "compact")
        return (
            "no topic loses partitions: if it holds no position yet, run kafka-topics.sh"
            f" --bootstrap-server {servers} --delete --topic {self.name}; then start again"
        )

    @classmethod
    def described(cls, listed: TopicMetadata, settings: Mapping[str, str]) -> "Topic":
        """Return the topic that the brokers describe."""
        partitions = listed.partitions.values()
        return cls(
            str(listed.topic),
            len(partitions),
            min((len(partition.replicas) for partition in partitions), default=1),
            int(settings["max.message.bytes"]),
            settings["cleanup.policy"],
            int(settings.get("min.insync.replicas", "1")),
            int(settings.get("segment.bytes", str(DEFAULT_SEGMENT))),
            settings.get(_UNCLEAN) == "true",
        )

    @classmethod
    def planned(cls, name: str, size: tuple[int, int], settings: Mapping[str, str]) -> "Topic":
        """Return a topic as the brokers would create it; `size` is partitions and replicas."""
        partitions, replicas = size
        return cls(
            name,
            partitions,
            replicas,
            int(settings["max.message.bytes"]),
            settings.get("cleanup.policy", "delete"),
            int(settings.get("min.insync.replicas", "1")),
            int(settings.get("segment.bytes", str(DEFAULT_SEGMENT))),
            settings.get(_UNCLEAN) == "true",
            exists=False,
        )

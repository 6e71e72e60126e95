"""The catalog of topics: which exist, with which limits, and the creation of missing ones."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import Topics as TopicsConfig
from cdc_sidecar.errors import KafkaRefused, KafkaUnavailable, TopicMissing, TopicUnfit
from cdc_sidecar.events.table import TopicFacts
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, translate, translated
from cdc_sidecar.kafka.hanging import Partition

DEFAULT_LIMIT: Final = 1_048_588
"""Kafka's default of max.message.bytes; assumed of a topic that is yet to be made."""

PROBE_TIMEOUT: Final = 3.0  # seconds, of the question whether a broker answers

INTERNAL_SETTINGS: Final = {
    "cleanup.policy": "compact",
    "segment.ms": "3600000",
    "segment.bytes": "16777216",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "3600000",
    "unclean.leader.election.enable": "false",
}
"""Of the position and schemas topics: small segments, so that compaction keeps up."""


@dataclass(frozen=True, slots=True)
class Topic:
    """An existing topic."""

    name: str
    partitions: int
    replication_factor: int
    max_message_bytes: int
    cleanup_policy: str
    min_insync_replicas: int

    @property
    def compacted(self) -> bool:
        """Whether compaction removes records by key."""
        return "compact" in self.cleanup_policy


class TopicCatalog:
    """The topics of the cluster as last described.

    One thread at a time may call the methods that ask the brokers. `partitions`, `facts` and
    `smallest_limit` ask nobody and may be called from any thread.
    """

    def __init__(
        self,
        admin: AdminClient,
        config: TopicsConfig,
        remember: Callable[[dict[str, str]], None] = lambda _made: None,
    ) -> None:
        """Take what the catalog needs; `remember` is called with the ids of topics we created."""
        self._admin = admin
        self._config = config
        self._remember = remember
        self._known: dict[str, Topic] = {}

    @property
    def partitions(self) -> list[Partition]:
        """Every partition of the topics that were described so far."""
        known = list(self._known.values())  # a copy: another thread may add to them
        return [(topic.name, number) for topic in known for number in range(topic.partitions)]

    def brokers_answer(self) -> bool:
        """Tell whether any broker answers within a few seconds.

        Raises:
            KafkaRefused: one does, and does not let us in.

        """
        try:
            with translated():
                self._admin.list_topics(timeout=PROBE_TIMEOUT)
        except KafkaUnavailable:
            return False
        return True

    def describe(self, names: Iterable[str]) -> dict[str, Topic]:
        """Return those of the topics that exist.

        Raises:
            KafkaUnavailable: no answer.

        """
        wanted = set(names)
        with translated():
            listed = self._admin.list_topics(timeout=REQUEST_TIMEOUT).topics
        found = {
            name: (len(listed[name].partitions), listed[name].partitions)
            for name in wanted
            if name in listed and listed[name].error is None
        }
        settings = self._settings(found)
        for name, (partitions, details) in found.items():
            values = settings[name]
            replicas = min((len(partition.replicas) for partition in details.values()), default=1)
            self._known[name] = Topic(
                name,
                partitions,
                replicas,
                int(values["max.message.bytes"]),
                values["cleanup.policy"],
                int(values.get("min.insync.replicas", "1")),
            )
        return {name: self._known[name] for name in found}

    def describe_matching(self, wanted: Callable[[str], bool]) -> None:
        """Describe the topics that exist and whose names `wanted` accepts.

        So their limits and partitions are known before anything is written to them. Topics that
        the sidecar is not allowed to describe are left out.

        Raises:
            KafkaUnavailable: the brokers do not answer.

        """
        with translated():
            listed = self._admin.list_topics(timeout=REQUEST_TIMEOUT).topics
        names = [name for name in listed if name not in self._known and wanted(name)]
        if not names:
            return
        try:
            self.describe(names)
        except KafkaRefused:
            for name in names:
                with suppress(KafkaRefused):
                    self.describe([name])

    def _settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        answers = self._admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT)
        described = {}
        for resource, answer in answers.items():
            with translated():
                entries = answer.result()
            described[resource.name] = {
                name: str(entry.value) for name, entry in entries.items() if entry.value is not None
            }
        return described

    def identify(self, names: Iterable[str]) -> dict[str, str]:
        """Return the ids of those of the topics that exist; a topic made anew has another.

        Raises:
            KafkaUnavailable: no answer.

        """
        wanted = TopicCollection(sorted(names))
        answers = self._admin.describe_topics(wanted, request_timeout=REQUEST_TIMEOUT)
        found = {}
        for name, answer in answers.items():
            try:
                found[name] = str(answer.result().topic_id)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise translate(error.args[0]) from error
        return found

    def delete(self, name: str) -> None:
        """Delete a topic; one that is gone already is no fault.

        Raises:
            KafkaRefused: the broker does not let us.
            KafkaUnavailable: no answer.

        """
        answers = self._admin.delete_topics([name], operation_timeout=10, request_timeout=20)
        try:
            answers[name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise translate(error.args[0]) from error

    def facts(self, name: str) -> TopicFacts | None:
        """Return what is known of a topic, or None before it was ensured."""
        topic = self._known.get(name)
        return TopicFacts(topic.partitions, topic.max_message_bytes) if topic else None

    def smallest_limit(self) -> int:
        """Return the smallest max.message.bytes of the topics described, and of those to be made.

        At most Kafka's default: what the brokers set for topics to be made is not known.
        """
        limits = [topic.max_message_bytes for topic in list(self._known.values())]
        configured = self._config.config.get("max.message.bytes", "") if self._config.create else ""
        if configured.isdecimal():
            limits.append(int(configured))
        return min([*limits, DEFAULT_LIMIT])

    def ensure(self, names: Iterable[str]) -> None:
        """See that topics for events exist; make the missing ones where that is configured.

        Raises:
            TopicMissing: they are missing and `[topics] create` is not set.
            KafkaRefused: the broker does not let us make them.

        """
        self._ensure(names, {}, self._config.partitions or 1)

    def ensure_internal(self, names: Iterable[str]) -> None:
        """See that the position and schemas topics exist and are fit.

        Raises:
            TopicMissing: as in `ensure`.
            TopicUnfit: one is not compacted, or has several partitions.

        """
        names = tuple(names)
        self._ensure(names, INTERNAL_SETTINGS, 1)
        for name in names:
            topic = self._known[name]
            if topic.cleanup_policy != "compact" or topic.partitions != 1:
                raise TopicUnfit(
                    f"{name} has cleanup.policy={topic.cleanup_policy} and "
                    f"{topic.partitions} partition(s)",
                    cause="under another policy than compact the position would be deleted",
                    hint="give it one partition and cleanup.policy=compact, and nothing else",
                )

    def _ensure(self, names: Iterable[str], settings: Mapping[str, str], partitions: int) -> None:
        wanted = [name for name in dict.fromkeys(names) if name not in self._known]
        if not wanted:
            return
        existing = self.describe(wanted)
        missing = [name for name in wanted if name not in existing]
        if not missing:
            return
        if not self._config.create:
            raise TopicMissing(
                ", ".join(missing),
                hint="create them, or set [topics] create = true with partitions and"
                " replication_factor",
            )
        made = self._create(missing, settings, partitions)
        self._await(missing)
        failpoints.reach(Failpoint.AFTER_TOPICS_CREATED)
        if made:
            self._remember(self.identify(made))

    def _await(self, names: list[str]) -> None:
        """Wait until topics that were just made show in the metadata."""
        deadline = time.monotonic() + REQUEST_TIMEOUT
        while len(self.describe(names)) != len(names):
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"topics {', '.join(names)} were made but do not show")
            time.sleep(0.05)

    def _create(self, names: list[str], settings: Mapping[str, str], partitions: int) -> list[str]:
        """Make topics; return those that we made, not somebody else meanwhile."""
        replicas = self._config.replication_factor or 1
        limits = {} if settings else self._config.config
        durable = {
            key: value
            for key, value in self._config.config.items()
            if settings and key == "min.insync.replicas"
        }
        topics = [
            NewTopic(
                name,
                num_partitions=partitions,
                replication_factor=replicas,
                config={**limits, **durable, **settings},
            )
            for name in names
        ]
        answers = self._admin.create_topics(topics, operation_timeout=10, request_timeout=20)
        made = []
        for name, answer in answers.items():
            try:
                answer.result()
                made.append(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise translate(error.args[0]) from error
        return made

"""The catalog of topics: which exist, with which limits, and the creation of missing ones."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import TopicSettings
from cdc_sidecar.errors import KafkaRefused, KafkaUnavailable, TopicMissing, TopicUnfit
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.broker_defaults import broker_defaults
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, translate, translated
from cdc_sidecar.kafka.hanging import Partition

T = TypeVar("T")

DEFAULT_LIMIT: Final = 1_048_588
"""Kafka's default of max.message.bytes, assumed for a topic that does not exist yet."""

PROBE_TIMEOUT: Final = 3.0
"""Seconds for the question whether a broker answers: a shutdown waits for it at most."""

INTERNAL_SETTINGS: Final = {
    "cleanup.policy": "compact",
    "segment.ms": "3600000",
    "segment.bytes": "16777216",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "3600000",
    "unclean.leader.election.enable": "false",
}
"""Settings of the position and schemas topics. A segment that is open is not compacted, so segments
are small, and a start reads little."""

_DURABLE: Final = ("min.insync.replicas",)
"""The configured settings that internal topics have too: a position must not be lost either."""


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

    Any thread may call any method: a new description replaces an older one topic by topic.
    `partitions`, `facts` and `smallest_limit` only read memory.
    """

    def __init__(
        self,
        admin: AdminClient,
        config: TopicSettings,
        remember: Callable[[dict[str, str]], None] = lambda _created: None,
        *,
        dry_run: bool = False,
    ) -> None:
        """Begin without topics; `remember` is called with the ids of topics that we created.

        With `dry_run` the brokers only validate the creation of missing topics (`validate_only`),
        which are then known as they would be.
        """
        self._dry_run = dry_run
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
        """Return whether any broker answers within a few seconds.

        Raises:
            KafkaRefused: a broker answers and refuses the client.

        """
        try:
            with translated():
                self._admin.list_topics(timeout=PROBE_TIMEOUT)
        except KafkaUnavailable:
            self._admin.poll(0)  # librdkafka's own reason and log lines
            return False
        return True

    def describe(self, names: Iterable[str]) -> dict[str, Topic]:
        """Return those of the topics that exist.

        Raises:
            KafkaUnavailable: the brokers do not answer.

        """
        wanted = set(names)
        with translated():
            listed = self._admin.list_topics(timeout=REQUEST_TIMEOUT).topics
        found = [name for name in wanted if name in listed and listed[name].error is None]
        settings = self._settings(found)
        for name in found:
            self._known[name] = _topic(name, listed[name], settings[name])
        return {name: self._known[name] for name in found}

    def describe_matching(self, wanted: Callable[[str], bool]) -> None:
        """Describe the topics that exist and whose names `wanted` accepts.

        Their limits and partitions are then known before anything is written to them. Topics that
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
        """Return the ids of the topics that exist; a topic that was created again has another id.

        Raises:
            KafkaUnavailable: the brokers do not answer.

        """
        wanted = TopicCollection(sorted(names))
        answers = self._admin.describe_topics(wanted, request_timeout=REQUEST_TIMEOUT)
        described = {name: _unless_unknown(answer) for name, answer in answers.items()}
        return {name: str(topic.topic_id) for name, topic in described.items() if topic}

    def delete(self, name: str) -> None:
        """Delete a topic; a topic that does not exist is not an error.

        Raises:
            KafkaRefused: the sidecar is not allowed to.
            KafkaUnavailable: the brokers do not answer.

        """
        answers = self._admin.delete_topics([name], operation_timeout=10, request_timeout=20)
        _unless_unknown(answers[name])

    def known(self, names: Iterable[str]) -> dict[str, Topic]:
        """Return those of the topics that were described, or made sure of, before."""
        return {name: self._known[name] for name in names if name in self._known}

    def facts(self, name: str) -> TopicFacts | None:
        """Return what is known of a topic; None if it was not described yet."""
        topic = self._known.get(name)
        return TopicFacts(topic.partitions, topic.max_message_bytes) if topic else None

    def smallest_limit(self) -> int:
        """Return the smallest max.message.bytes of the described topics and of those to be created.

        It is at most Kafka's default: what the brokers set for new topics is not known.
        """
        limits = [topic.max_message_bytes for topic in list(self._known.values())]
        configured = self._config.config.get("max.message.bytes", "") if self._config.create else ""
        if configured.isdecimal():
            limits.append(int(configured))
        return min([*limits, DEFAULT_LIMIT])

    def ensure(self, names: Iterable[str]) -> None:
        """Make sure that topics for events exist; create missing ones if that is configured.

        Raises:
            TopicMissing: topics are missing and `[topics] create` is not set.
            KafkaRefused: the sidecar is not allowed to create them.

        """
        self._ensure(names, {}, self._config.partitions or 1)

    def ensure_internal(self, names: Iterable[str]) -> None:
        """Make sure that the position and schemas topics exist and keep their records.

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
                    cause="with a policy other than compact the position would be deleted",
                    hint="give it one partition, and cleanup.policy=compact alone",
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
        created = self._create(missing, settings, partitions)
        if self._dry_run:
            self._plan(created, settings, partitions)
            return
        self._await(missing)
        failpoints.reach(Failpoint.AFTER_TOPICS_CREATED)
        if created:
            self._remember(self.identify(created))

    def _await(self, names: list[str]) -> None:
        """Wait until topics that were just created appear in the metadata."""
        deadline = time.monotonic() + REQUEST_TIMEOUT
        while len(self.describe(names)) != len(names):
            if time.monotonic() > deadline:
                raise KafkaUnavailable(
                    f"topics {', '.join(names)} were created but do not appear in the metadata"
                )
            time.sleep(0.05)

    def _create(self, names: list[str], settings: Mapping[str, str], partitions: int) -> list[str]:
        """Create topics; return those that we created, without those of another process."""
        topics = [
            NewTopic(
                name,
                num_partitions=partitions,
                replication_factor=self._config.replication_factor or 1,
                config=self._settings_of_new(settings),
            )
            for name in names
        ]
        answers = self._admin.create_topics(
            topics, operation_timeout=10, request_timeout=20, validate_only=self._dry_run
        )
        created = []
        for name, answer in answers.items():
            try:
                answer.result()
                created.append(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise translate(error.args[0]) from error
        return created

    def _plan(self, names: list[str], settings: Mapping[str, str], partitions: int) -> None:
        """Know topics as the brokers would create them."""
        broker = broker_defaults(self._admin)
        replicas = self._config.replication_factor or 1
        for name in names:
            self._known[name] = _planned(
                name, (partitions, replicas), {**broker, **self._settings_of_new(settings)}
            )

    def _settings_of_new(self, internal: Mapping[str, str]) -> dict[str, str]:
        """Return the settings of a new topic; an internal one gets its own and the durable ones."""
        configured = self._config.config
        if not internal:
            return configured
        durable = {key: configured[key] for key in _DURABLE if key in configured}
        return {**durable, **internal}


def _unless_unknown(answer: Future[T]) -> T | None:
    """Return the answer about a topic, or None if the topic does not exist."""
    try:
        return answer.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise translate(error.args[0]) from error
    return None


def _topic(name: str, listed: TopicMetadata, settings: Mapping[str, str]) -> Topic:
    partitions = listed.partitions.values()
    return Topic(
        name,
        len(partitions),
        min((len(partition.replicas) for partition in partitions), default=1),
        int(settings["max.message.bytes"]),
        settings["cleanup.policy"],
        int(settings.get("min.insync.replicas", "1")),
    )


def _planned(name: str, size: tuple[int, int], settings: Mapping[str, str]) -> Topic:
    partitions, replicas = size
    return Topic(
        name,
        partitions,
        replicas,
        int(settings.get("max.message.bytes", DEFAULT_LIMIT)),
        settings.get("cleanup.policy", "delete"),
        int(settings.get("min.insync.replicas", "1")),
    )

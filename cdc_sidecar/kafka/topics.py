"""The catalog of topics: which exist, with which limits, and the creation of missing ones."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, TypeVar

from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import TopicSettings
from cdc_sidecar.errors import KafkaRefused, KafkaUnavailable, TopicMissing, TopicUnfit
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.kafka.broker_defaults import broker_defaults
from cdc_sidecar.kafka.client import (
    PROBE_TIMEOUT,
    REQUEST_TIMEOUT,
    Admin,
    Asked,
    answer_of,
    code_of,
    translated,
)
from cdc_sidecar.kafka.hanging import Partition
from cdc_sidecar.kafka.topic import REQUEST_LIMIT, REQUEST_OVERHEAD, Topic
from cdc_sidecar.kafka.topic_settings import INTERNAL, PARKED, settings_of_new

T = TypeVar("T")

DEFAULT_LIMIT: Final = 1_048_588
"""Kafka's default of max.message.bytes, assumed for a topic that does not exist yet."""

SMALLEST_INTERNAL: Final = 65_536
"""Bytes that a record of an internal topic may need: a position with the longest names and ten
moves, or the schema of a table with hundreds of columns."""


class TopicCatalog:
    """The topics of the cluster as last described.

    Any thread may call any method: a new description replaces an older one topic by topic.
    `partitions`, `facts` and `smallest_limit` only read memory.
    """

    def __init__(
        self,
        admin: Admin,
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
        self._asked = False  # for the next
        self._largest_request: int | None = None  # of the brokers, if we may know it

    @property
    def partitions(self) -> list[Partition]:
        """Every partition of the topics that were described so far."""
        known = list(self._known.values())  # a copy: another thread may add to them
        return [(topic.name, number) for topic in known for number in range(topic.partitions)]

    def describe(self, names: Iterable[str]) -> dict[str, Topic]:
        """Return those of the topics that exist.

        Raises:
            KafkaUnavailable: the brokers do not answer.

        """
        wanted = set(names)
        with translated(self._admin):
            metadata = self._admin.list_topics(timeout=REQUEST_TIMEOUT)
        listed = metadata.topics
        if not self._asked:
            self._asked = True
            self._largest_request = self._ask_for_largest_request(metadata.brokers)
        found = [name for name in wanted if name in listed and listed[name].error is None]
        settings = self._settings(found)
        for name in found:
            self._known[name] = Topic.described(listed[name], settings[name])
        return {name: self._known[name] for name in found}

    def _ask_for_largest_request(self, brokers: Iterable[int]) -> int | None:
        """Return the smallest socket.request.max.bytes, or None if we may not read it."""
        limits = []
        for number in brokers:
            resource = ConfigResource(ResourceType.BROKER, str(number))
            (answer,) = self._admin.describe_configs(
                [resource], request_timeout=PROBE_TIMEOUT
            ).values()
            if code_of(answer) is not None:
                continue  # not allowed to, or the broker is away: the other limits still count
            entry = answer_of(answer).get(REQUEST_LIMIT)
            if entry and entry.value is not None:
                limits.append(int(entry.value))
        return min(limits, default=None)

    def describe_matching(self, wanted: Callable[[str], bool]) -> None:
        """Describe the topics that exist and whose names `wanted` accepts.

        Their limits and partitions are then known before anything is written to them. Topics that
        the sidecar is not allowed to describe are left out.

        Raises:
            KafkaUnavailable: the brokers do not answer.

        """
        with translated(self._admin):
            listed = self._admin.list_topics(timeout=REQUEST_TIMEOUT).topics
        names = [name for name in listed if name not in self._known and wanted(name)]
        if not names:
            return
        with suppress(KafkaRefused):
            self.describe(names)
            return
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
            asked = Asked("DescribeConfigs", f"topic {resource.name}")
            entries = answer_of(answer, self._admin, asked)
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
        described = {
            name: self._unless_unknown(answer, Asked("Describe", f"topic {name}"))
            for name, answer in answers.items()
        }
        return {name: str(topic.topic_id) for name, topic in described.items() if topic}

    def delete(self, name: str) -> None:
        """Delete a topic; a topic that does not exist is not an error.

        Raises:
            KafkaRefused: the sidecar is not allowed to.
            KafkaUnavailable: the brokers do not answer.

        """
        answers = self._admin.delete_topics([name], operation_timeout=10, request_timeout=20)
        self._unless_unknown(answers[name], Asked("Delete", f"topic {name}"))

    def known(self, names: Iterable[str]) -> dict[str, Topic]:
        """Return those of the topics that were described, or made sure of, before."""
        return {name: self._known[name] for name in names if name in self._known}

    def existing(self, names: Iterable[str]) -> list[str]:
        """Return those of the topics that were described and not only planned."""
        return [name for name, topic in self.known(names).items() if topic.exists]

    def facts(self, name: str) -> TopicFacts | None:
        """Return what is known of a topic; None if it was not described yet."""
        topic = self._known.get(name)
        return topic.facts(self._largest_request) if topic else None

    def smallest_limit(self) -> int:
        """Return the smallest size of a record or batch that one of these topics takes.

        These are the described topics and those to be created. It is at most Kafka's default:
        what the brokers set for new topics is not known.
        """
        return min([*self._limits(), DEFAULT_LIMIT])

    def largest_limit(self) -> int:
        """Return the largest size of a record that one of these topics takes."""
        return max([*self._limits(), DEFAULT_LIMIT])

    def _limits(self) -> list[int]:
        """Return the limits of the described topics and of those to be created."""
        known = list(self._known.values())  # a copy: another thread may add to them
        limits = [topic.facts(self._largest_request).max_message_bytes for topic in known]
        configured = self._config.config.get("max.message.bytes", "") if self._config.create else ""
        if configured.isdecimal():
            limits.append(int(configured))
        return limits

    def ensure(self, names: Iterable[str], *, parked: bool = False) -> None:
        """Make sure that topics for events exist; create missing ones if that is configured.

        Raises:
            TopicMissing: topics are missing and `[topics] create` is not set.
            KafkaRefused: the sidecar is not allowed to create them.

        """
        if parked:
            self._ensure(names, PARKED, 1)
        else:
            self._ensure(names, {}, self._config.partitions or 1)

    def ensure_internal(self, names: Iterable[str]) -> None:
        """Make sure that the position and schemas topics exist and keep their records.

        Raises:
            TopicMissing: as in `ensure`.
            TopicUnfit: one is not compacted, or has several partitions.

        """
        names = tuple(names)
        self._ensure(names, INTERNAL, 1)
        for name in names:
            topic = self._known[name]
            self._check_room(topic)
            if topic.cleanup_policy != "compact" or topic.partitions != 1:
                raise TopicUnfit(
                    f"{name} has cleanup.policy={topic.cleanup_policy} and "
                    f"{topic.partitions} partition(s)",
                    cause="with a policy other than compact the position would be deleted",
                    hint=topic.to_keep_records(self._admin.reason.servers),
                )

    def _check_room(self, topic: Topic) -> None:
        """Check that an internal topic takes the sidecar's own records, which every commit needs.

        Raises:
            TopicUnfit: its limit is too small.

        """
        facts = topic.facts(self._largest_request)
        if facts.max_message_bytes < SMALLEST_INTERNAL:
            raise TopicUnfit(
                f"{topic.name} takes records of {facts.max_message_bytes} bytes, but the sidecar's"
                f" own records may need {SMALLEST_INTERNAL}",
                cause=f"{facts.limited_by} is too small",
                hint=f"raise {facts.limited_by} to at least {SMALLEST_INTERNAL + REQUEST_OVERHEAD}",
            )

    def _ensure(self, names: Iterable[str], settings: Mapping[str, str], partitions: int) -> None:
        wanted = [name for name in dict.fromkeys(names) if name not in self._known]
        if not wanted:
            return
        missing = self._missing(wanted)
        if not missing:
            return
        if not self._config.create:
            raise TopicMissing(
                ", ".join(missing),
                hint="create them, or set create = true in [topics], with partitions and"
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

    def _missing(self, wanted: list[str]) -> list[str]:
        """Describe the topics that exist; return the others."""
        existing = self.describe(wanted)
        missing = [name for name in wanted if name not in existing]
        late = self.identify(missing) if missing else {}  # fails if we may not describe one
        if late:  # another broker knows more
            self._await(list(late))
        return [name for name in missing if name not in late]

    def _await(self, names: list[str]) -> None:
        """Wait until topics that exist appear in the metadata."""
        deadline = time.monotonic() + REQUEST_TIMEOUT
        while len(self.describe(names)) != len(names):
            if time.monotonic() > deadline:
                raise KafkaUnavailable(
                    f"topics {', '.join(names)} exist but do not appear in the metadata"
                )
            time.sleep(0.05)

    def _create(self, names: list[str], settings: Mapping[str, str], partitions: int) -> list[str]:
        """Create topics; return those that we created, without those of another process."""
        topics = [
            NewTopic(
                name,
                num_partitions=partitions,
                replication_factor=self._config.replication_factor or 1,
                config=settings_of_new(self._config.config, settings),
            )
            for name in names
        ]
        answers = self._admin.create_topics(
            topics, operation_timeout=10, request_timeout=20, validate_only=self._dry_run
        )
        created = []
        for name, answer in answers.items():
            if code_of(answer) != KafkaError.TOPIC_ALREADY_EXISTS:
                answer_of(answer, self._admin, Asked("Create", f"topic {name}"))
                created.append(name)
        return created

    def _plan(self, names: list[str], settings: Mapping[str, str], partitions: int) -> None:
        """Know topics as the brokers would create them."""
        defaults = {"max.message.bytes": str(DEFAULT_LIMIT), **broker_defaults(self._admin)}
        replicas = self._config.replication_factor or 1
        for name in names:
            self._known[name] = Topic.planned(
                name,
                (partitions, replicas),
                {**defaults, **settings_of_new(self._config.config, settings)},
            )

    def _unless_unknown(self, answer: Future[T], asked: Asked) -> T | None:
        """Return the answer about a topic, or None if the topic does not exist."""
        if code_of(answer) == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        return answer_of(answer, self._admin, asked)

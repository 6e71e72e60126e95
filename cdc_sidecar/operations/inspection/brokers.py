"""The inspection of Kafka: brokers, topics as they are or would be created, and transactions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from cdc_sidecar.checks.advice import advise_on_topics
from cdc_sidecar.checks.topics import OF_TOPICS, TopicView, event_topics, parked_topics
from cdc_sidecar.config.model import Config
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.kafka.claim import read_current_position
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.position import PositionRecord
from cdc_sidecar.kafka.privileges import READ_BACK, WRITTEN, Operations, check_allowed
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.kafka.reach import reach
from cdc_sidecar.kafka.topic import Topic
from cdc_sidecar.kafka.topics import DEFAULT_LIMIT, TopicCatalog
from cdc_sidecar.operations.inspection.report import Group, Report
from cdc_sidecar.operations.inspection.source import SeenSource
from cdc_sidecar.postgres.lsn import format_lsn

_PATIENCE: Final = 8.0
"""Seconds for the first answer, and for the trial transaction: a person waits for `check`, which
promises each fault within ten seconds."""


@dataclass(frozen=True, slots=True)
class SeenPosition:
    """The position, if it could be read: None means that there is none, or that it is not known."""

    record: PositionRecord | None
    is_known: bool


_COST: Final = (
    "two for each source transaction, and up to four a second while other tables are written"
)
"""What the topic of BEGIN and END costs."""


def _say_tried(name: str) -> str:
    return f"allowed (tried as {name})"


class BrokerInspection:
    """Inspects Kafka once."""

    def __init__(self, config: Config, capture: Capture, report: Report) -> None:
        self._config = config
        self._capture = capture
        self._report = report

    def inspect(self, source: SeenSource) -> SeenPosition:
        """Make every check of Kafka."""
        self._report.begin(Group.KAFKA)
        topics = self._report.attempt(
            "brokers", self._open_topics, lambda _: self._config.kafka.bootstrap_servers
        )
        if topics is None:
            return SeenPosition(None, is_known=False)
        self._look_at_topics(topics, source)
        self._report.attempt("transactions", self._try_transactions, _say_tried)
        if self._config.transactions.topic:
            self._report.attempt("transaction records", lambda: None, lambda _: _COST)
        record = self._report.attempt(
            "position", partial(read_current_position, self._config), _say_position
        )
        return SeenPosition(record, is_known=not self._report.failed)

    def _open_topics(self) -> TopicCatalog:
        admin = admin_client(self._config.kafka)
        reach(admin, _PATIENCE)
        topics = TopicCatalog(admin, self._config.topics, dry_run=True)
        topics.describe([])
        return topics

    def _look_at_topics(self, topics: TopicCatalog, source: SeenSource) -> None:
        """Create missing topics as a trial, one by one, so that each fault is reported."""
        service, view = self._config.service.name, source.view
        internal = (position_topic(service), schemas_topic(service))
        tables = view.configured if view else []
        events = event_topics(tables, self._config, self._capture) if view else []
        for name in internal:
            self._ensure(topics.ensure_internal, topics, name)
        parked = list(parked_topics(tables, self._capture)) if view else []
        for name in events:
            self._ensure(topics.ensure, topics, name)
        for name in parked:
            self._ensure(partial(topics.ensure, parked=True), topics, name)
        events += parked
        known = topics.known([*internal, *events])
        self._check_privileges(topics.existing(internal), READ_BACK)
        self._check_privileges(topics.existing(events), WRITTEN)
        if view:
            self._report.judge(OF_TOPICS, TopicView(known, view, tables))
        self._report.warn(advise_on_topics(list(known.values()), self._config))

    def _check_privileges(self, topics: list[str], operations: Operations) -> None:
        if topics:
            names = " and ".join(operation.name.title() for operation in operations)
            self._report.attempt(
                f"privileges on {len(topics)} topic(s)",
                lambda: check_allowed(admin_client(self._config.kafka), topics, operations),
                lambda _: names,
            )

    def _ensure(self, ensure: Callable[[list[str]], None], topics: TopicCatalog, name: str) -> None:
        def say(_: None) -> str:
            return _say(topics.known([name])[name])

        self._report.attempt(f"topic {name}", partial(ensure, [name]), say)

    def _try_transactions(self) -> str:
        """Begin and end an empty transaction under an id that no sidecar uses."""
        name = f"{self._config.transactional_id}.check"
        settings = producer_settings(
            self._config.kafka, self._config.publish, name, smallest=DEFAULT_LIMIT
        )
        producer = TransactionalProducer(settings)
        producer.fence(lambda: False, deadline=_PATIENCE)
        producer.begin()
        producer.commit()
        return name


def _say(topic: Topic) -> str:
    if not topic.exists:
        return "none yet: the brokers would create it when it is needed"
    return (
        f"{topic.partitions} partition(s), {topic.replication_factor} replica(s), "
        f"cleanup.policy={topic.cleanup_policy}, max.message.bytes={topic.max_message_bytes:,}"
    )


def _say_position(record: PositionRecord | None) -> str:
    if record is None:
        return "none yet"
    if record.position is None:
        return "an intent to create the slot"
    return f"{format_lsn(record.position.end_lsn)} after {record.commits:,} commits"

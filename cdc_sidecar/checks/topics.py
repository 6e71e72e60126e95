"""The topics that a start needs, and the conditions on them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.checks.condition import Condition
from cdc_sidecar.checks.preflight import captured
from cdc_sidecar.checks.source_view import SourceView
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import TopicUnfit
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import (
    message_topic,
    notification_topic,
    parked_messages_topic,
    parked_topic,
    table_topic,
    transaction_topic,
)
from cdc_sidecar.events.parking.lot import SMALLEST_PARKED
from cdc_sidecar.kafka.topic import Topic, alter_topic
from cdc_sidecar.postgres.catalog import Publication, PublishedTable

_INSYNC: Final = "min.insync.replicas"


def event_topics(tables: Iterable[PublishedTable], config: Config, capture: Capture) -> list[str]:
    """Return the topics that are known before the first row: all but those of outboxes."""
    names = [
        table_topic(capture.service, table.relation.namespace, table.relation.name)
        for table in captured(tables, capture)
        if capture.outbox(table.relation.qualified_name) is None
    ]
    names += [message_topic(capture.service)] if config.messages.prefixes else []
    names += [transaction_topic(capture.service)] if capture.transaction_metadata else []
    return names + ([notification_topic(capture.service)] if config.notifications.topic else [])


def parked_topics(tables: Iterable[PublishedTable], capture: Capture) -> Iterator[str]:
    """Yield the topics of parked events."""
    for table in captured(tables, capture):
        relation = table.relation
        name = relation.qualified_name
        config = capture.outbox(name) or capture.table(name)
        if config and config.on_error == "park":
            yield parked_topic(table_topic(capture.service, relation.namespace, relation.name))
    for outbox in capture.outboxes:
        if outbox.prefix and outbox.on_error == "park":
            yield parked_messages_topic(capture.service, outbox.prefix)


@dataclass(frozen=True, slots=True)
class TopicView:
    """The topics of a start as they are or, before they are created, as they would be."""

    topics: Mapping[str, Topic]
    source: SourceView
    tables: Sequence[PublishedTable]


def cure_of_topics(topics: Sequence[Topic], setting: str, value: object, config: Config) -> str:
    """Return how to give a setting to topics: those that exist, and those that are created."""
    servers = config.kafka.bootstrap_servers
    ways = [alter_topic(servers, topic.name, setting, value) for topic in topics if topic.exists]
    if setting in config.topics.config or len(ways) < len(topics):
        ways.append(f'set "{setting}" = "{value}" in [topics.config]')
    return "; ".join(ways)


def check_replicas(topics: Iterable[Topic], config: Config) -> None:
    """Check that each topic has as many replicas as a write needs.

    Raises:
        TopicUnfit: one has fewer; every transaction would fail.

    """
    unfit = [topic for topic in topics if topic.replication_factor < topic.min_insync_replicas]
    if unfit:
        replicas = min(topic.replication_factor for topic in unfit)
        cure = cure_of_topics(unfit, _INSYNC, replicas, config)
        raise TopicUnfit(
            "; ".join(
                f"{topic.name} has {topic.replication_factor} replica(s) and"
                f" min.insync.replicas={topic.min_insync_replicas}"
                for topic in unfit
            ),
            cause="no write is accepted with fewer replicas than min.insync.replicas",
            hint=f"give the topics more replicas; or {cure}",
        )


def check_null_keys(view: TopicView) -> None:
    """Check that no table that may send null keys has a compacted topic.

    Raises:
        TopicUnfit: there is one; the broker would reject its transactions at every attempt.

    """
    source, unfit = view.source, dict[str, tuple[Topic, str]]()
    for table in view.tables:
        relation = table.relation
        name = table_topic(source.capture.service, relation.namespace, relation.name)
        topic = view.topics.get(name)
        if topic and topic.compacted:
            for reason in _null_keys(table, source.capture, source.publication):
                unfit[name] = (topic, f"{name} is compacted, but {reason}")
    if unfit:
        topics, faults = zip(*unfit.values(), strict=True)
        cure = cure_of_topics(topics, "cleanup.policy", "delete", source.config)
        raise TopicUnfit("; ".join(faults), hint=cure)


def check_parked(view: TopicView) -> None:
    """Check that topics of parked events keep each of them, and are large enough for a part.

    Raises:
        TopicUnfit: one is compacted, and the next event of a row would remove the one before; or it
            takes only short records, and the sidecar would halt at the first event.

    """
    source, parked = view.source, _parked(view)
    unfit = [topic for topic in parked if topic.compacted]
    if unfit:
        cure = cure_of_topics(unfit, "cleanup.policy", "delete", source.config)
        raise TopicUnfit(f"{names_of(unfit)}: a topic of parked events is compacted", hint=cure)
    unfit = [topic for topic in parked if topic.max_message_bytes < SMALLEST_PARKED]
    if unfit:
        cure = cure_of_topics(unfit, "max.message.bytes", SMALLEST_PARKED, source.config)
        fact = (
            f"{names_of(unfit)}: a topic of parked events takes less than {SMALLEST_PARKED} bytes"
        )
        raise TopicUnfit(fact, hint=cure)


def _parked(view: TopicView) -> list[Topic]:
    names = parked_topics(view.tables, view.source.capture)
    return [view.topics[name] for name in names if name in view.topics]


def names_of(topics: Iterable[Topic]) -> str:
    """Return the names of topics as text."""
    return ", ".join(sorted(topic.name for topic in topics))


def _null_keys(
    table: PublishedTable, capture: Capture, publication: Publication | None
) -> list[str]:
    """Return why a table may send null keys; a publication to come sends every operation."""
    name = table.relation.qualified_name
    config = capture.table(name)
    if config is None:
        return []
    if config.unkeyed and not (config.key or table.facts.key_columns):
        return [f"{name} has no key"]
    truncates = publication is None or publication.truncates
    if config.truncate in ("event", "first_partition") and truncates:
        return [f'truncate events of {name} have no key: set truncate = "skip" or "halt"']
    return []


OF_TOPICS: Final[tuple[Condition[TopicView], ...]] = (
    Condition(
        "null keys",
        check_null_keys,
        lambda _: "fit every topic",
    ),
    Condition(
        "parked events",
        check_parked,
        lambda view: "are kept" if _parked(view) else "no table or outbox parks events",
    ),
    Condition(
        "replicas",
        lambda view: check_replicas(view.topics.values(), view.source.config),
        lambda _: "are enough for min.insync.replicas",
    ),
)
"""The conditions on the topics."""

"""The topics that a start needs, and the conditions on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.checks.condition import Condition
from cdc_sidecar.checks.preflight import captured
from cdc_sidecar.checks.source_view import SourceView
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import TopicUnfit
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import message_topic, table_topic, transaction_topic
from cdc_sidecar.kafka.topic import Topic
from cdc_sidecar.postgres.catalog import Publication, PublishedTable

_NOT_COMPACTED = (
    "kafka-configs --alter --entity-type topics --entity-name <topic> --add-config"
    " cleanup.policy=delete; for topics that do not exist yet, change [topics] config"
)


def event_topics(tables: Iterable[PublishedTable], config: Config, capture: Capture) -> list[str]:
    """Return the topics that are known before the first row: all but those of outboxes."""
    names = [
        table_topic(capture.service, table.relation.namespace, table.relation.name)
        for table in captured(tables, capture)
        if capture.outbox(table.relation.qualified_name) is None
    ]
    names += [message_topic(capture.service)] if config.messages.prefixes else []
    return names + ([transaction_topic(capture.service)] if capture.transaction_metadata else [])


@dataclass(frozen=True, slots=True)
class TopicView:
    """The topics of a start as they are or, before they are created, as they would be."""

    topics: Mapping[str, Topic]
    source: SourceView
    tables: Sequence[PublishedTable]


def check_replicas(topics: Iterable[Topic]) -> None:
    """Check that each topic has as many replicas as a write needs.

    Raises:
        TopicUnfit: one has fewer; every transaction would fail.

    """
    faults = [
        f"{topic.name} has {topic.replication_factor} replica(s) and"
        f" min.insync.replicas={topic.min_insync_replicas}"
        for topic in topics
        if topic.replication_factor < topic.min_insync_replicas
    ]
    if faults:
        raise TopicUnfit(
            "; ".join(faults),
            cause="no write is accepted with fewer replicas than min.insync.replicas",
            hint="lower min.insync.replicas of the topic, or give it more replicas"
            " ([topics] replication_factor, config)",
        )


def check_null_keys(
    tables: Iterable[PublishedTable],
    topics: Mapping[str, Topic],
    capture: Capture,
    publication: Publication | None,
) -> None:
    """Check that no table that may send null keys has a compacted topic.

    Raises:
        TopicUnfit: there is one; the broker would reject its transactions at every attempt.

    """
    faults = []
    for table in captured(tables, capture):
        relation = table.relation
        topic = topics.get(table_topic(capture.service, relation.namespace, relation.name))
        if topic and topic.compacted:
            reasons = _null_keys(table, capture, publication)
            faults += [f"{topic.name} is compacted, but {reason}" for reason in reasons]
    if faults:
        raise TopicUnfit("; ".join(faults), hint=_NOT_COMPACTED)


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
        lambda view: check_null_keys(
            view.tables, view.topics, view.source.capture, view.source.publication
        ),
        lambda _: "fit every topic",
    ),
    Condition(
        "replicas",
        lambda view: check_replicas(view.topics.values()),
        lambda _: "are enough for min.insync.replicas",
    ),
)
"""The conditions on the topics."""

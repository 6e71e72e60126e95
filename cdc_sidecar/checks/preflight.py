"""The conditions that must hold before anything is published.

`run` uses them to refuse a configuration, and `check` reports on them. Each function checks one
condition and raises an error if it does not hold. No function writes anything.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    PermissionMissing,
    PostgresUnavailable,
    PublicationIncomplete,
    PublicationMissing,
    TablesRefused,
    TopicUnfit,
    WalLevelTooLow,
)
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import message_topic, table_topic, transaction_topic
from cdc_sidecar.kafka.topic import Topic
from cdc_sidecar.postgres.catalog import Publication, PublishedTable, read_publication
from cdc_sidecar.postgres.connect import Connection
from cdc_sidecar.postgres.server import SourceServer
from cdc_sidecar.postgres.walsender import WalsenderConnection


def check_primary(connection: WalsenderConnection, server: SourceServer) -> None:
    """Check that both connections lead to a primary: a lock on a standby excludes no other sidecar.

    Raises:
        PostgresUnavailable: one of them leads to a standby, which may still be promoted.

    """
    if server.in_recovery or connection.is_standby():
        raise PostgresUnavailable(
            "the server is a standby",
            cause="postgres.dsn names a standby, or a failover is under way",
            hint="with several hosts add target_session_attrs=read-write to postgres.dsn",
        )


def check_wal_level(server: SourceServer) -> None:
    """Check that the server writes what logical decoding needs.

    Raises:
        WalLevelTooLow: wal_level is not logical.

    """
    if server.wal_level != "logical":
        raise WalLevelTooLow(
            f"wal_level is {server.wal_level}",
            hint="ALTER SYSTEM SET wal_level = logical; then restart the server",
        )


def check_role(server: SourceServer) -> None:
    """Check that the role may use replication.

    Raises:
        PermissionMissing: the role lacks REPLICATION.

    """
    if not server.may_replicate:
        raise PermissionMissing(
            f"role {server.user} lacks REPLICATION",
            hint=f'ALTER ROLE "{server.user}" REPLICATION; on a managed service, grant its role for'
            " replication instead",
        )


def check_publication(connection: Connection, config: Config) -> Publication:
    """Check that the publication exists and sends every operation on rows.

    Raises:
        PublicationMissing: the publication does not exist.
        PublicationIncomplete: the publication leaves out operations.

    """
    name = config.postgres.publication
    publication = read_publication(connection, name)
    if publication is None:
        raise PublicationMissing(
            name, hint="run what `cdc-sidecar setup-sql` prints, before the slot is created"
        )
    missing = _missing_operations(publication)
    if missing and config.tables:
        raise PublicationIncomplete(
            f"{name} does not publish {', '.join(missing)}",
            hint=f"ALTER PUBLICATION \"{name}\" SET (publish = 'insert, update, delete, truncate')",
        )
    return publication


def _missing_operations(publication: Publication) -> list[str]:
    operations = {
        "insert": publication.inserts,
        "update": publication.updates,
        "delete": publication.deletes,
    }
    return [operation for operation, sent in operations.items() if not sent]


def captured(tables: Iterable[PublishedTable], capture: Capture) -> list[PublishedTable]:
    """Return the published tables that are configured."""
    return [table for table in tables if capture.captures(table.relation.qualified_name)]


def check_tables(tables: Sequence[PublishedTable], config: Config, capture: Capture) -> None:
    """Check every configured table and outbox against what is published.

    Raises:
        PublicationIncomplete: configured tables are not in the publication.
        TablesRefused: tables cannot be captured as configured; the error lists all mistakes.

    """
    names = {table.relation.qualified_name for table in tables}
    _check_published(names, config)
    mistakes = capture.collisions(names)
    for table in captured(tables, capture):
        mistakes += capture.mistakes(table.relation, table.facts)
        mistakes += _dimension_mistakes(table, capture)
    if mistakes:
        raise TablesRefused("\n" + "\n".join(f"  - {mistake}" for mistake in mistakes))


def _check_published(names: Collection[str], config: Config) -> None:
    """Check that every table that is configured by its name is published."""
    wanted = [table.name for table in config.tables if not table.is_glob]
    wanted += [outbox.table for outbox in config.outboxes]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise PublicationIncomplete(
            f"{', '.join(missing)} not in publication {config.postgres.publication}",
            cause="the table does not exist, or was never added to the publication",
            hint="; ".join(
                f'ALTER PUBLICATION "{config.postgres.publication}" ADD TABLE {name}'
                for name in missing
            ),
        )


def _dimension_mistakes(table: PublishedTable, capture: Capture) -> list[str]:
    config = capture.table(table.relation.qualified_name)
    if config is None or capture.outbox(table.relation.qualified_name):
        return []
    mistakes = []
    for column, dimensions in zip(table.relation.columns, table.dimensions, strict=True):
        override = config.column.get(column.name)
        as_text = override is not None and (override.as_ == "text" or override.mask is not None)
        if config.sends(column.name) and dimensions > 1 and not as_text:
            mistakes.append(
                f"{table.relation.qualified_name}: column {column.name} is an array of"
                f' {dimensions} dimensions: set [tables.column.{column.name}] as = "text"'
            )
    return mistakes


def event_topics(tables: Iterable[PublishedTable], config: Config, capture: Capture) -> list[str]:
    """Return the topics that are known before the first row: all but those of outboxes."""
    names = [
        table_topic(capture.service, table.relation.namespace, table.relation.name)
        for table in captured(tables, capture)
        if capture.outbox(table.relation.qualified_name) is None
    ]
    names += [message_topic(capture.service)] if config.messages.prefixes else []
    return names + ([transaction_topic(capture.service)] if capture.transaction_metadata else [])


def check_null_keys(
    tables: Iterable[PublishedTable],
    topics: Mapping[str, Topic],
    capture: Capture,
    publication: Publication,
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
        raise TopicUnfit("; ".join(faults), hint="or give the topic cleanup.policy=delete")


def _null_keys(table: PublishedTable, capture: Capture, publication: Publication) -> list[str]:
    """Return why a table may send null keys."""
    name = table.relation.qualified_name
    config = capture.table(name)
    if config is None:
        return []
    if config.unkeyed and not (config.key or table.facts.key_columns):
        return [f"{name} has no key"]
    if config.truncate == "event" and publication.truncates:
        return [f'truncate events of {name} have no key: set truncate = "halt"']
    return []

"""What must hold before anything is published.

`run` uses it to refuse a configuration, `check` to report on it. Each function checks one thing and
raises an error; none of them writes anything.
"""

from collections.abc import Iterable, Mapping, Sequence

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
from cdc_sidecar.kafka.topics import Topic
from cdc_sidecar.postgres.catalog import Publication, PublishedTable, read_publication
from cdc_sidecar.postgres.connect import Connection
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.postgres.slot import Server


def check_primary(connection: ReplicationConnection, server: Server) -> None:
    """Check that both connections lead to a primary: a lock on a standby keeps nobody out.

    Raises:
        PostgresUnavailable: one leads to a standby, which may yet be promoted.

    """
    if server.in_recovery or connection.is_standby():
        raise PostgresUnavailable(
            "the server is a standby",
            cause="postgres.dsn names a standby, or a failover is under way",
            hint="with several hosts add target_session_attrs=read-write to postgres.dsn",
        )


def check_wal_level(server: Server) -> None:
    """Check that the server writes what logical decoding needs.

    Raises:
        WalLevelTooLow: it does not.

    """
    if server.wal_level != "logical":
        raise WalLevelTooLow(
            f"wal_level is {server.wal_level}",
            hint="ALTER SYSTEM SET wal_level = logical; then restart the server",
        )


def check_role(server: Server) -> None:
    """Check that the role may use replication.

    Raises:
        PermissionMissing: it may not.

    """
    if not server.may_replicate:
        raise PermissionMissing(
            f"role {server.user} lacks REPLICATION",
            hint=f'ALTER ROLE "{server.user}" REPLICATION; (managed services: their own role)',
        )


def check_publication(connection: Connection, config: Config) -> Publication:
    """Check that the publication exists and sends every operation on rows.

    Raises:
        PublicationMissing: it does not exist.
        PublicationIncomplete: it leaves operations out.

    """
    name = config.postgres.publication
    publication = read_publication(connection, name)
    if publication is None:
        raise PublicationMissing(
            name, hint="run what `cdc-sidecar setup-sql` prints, before the slot is created"
        )
    operations = {
        "insert": publication.inserts,
        "update": publication.updates,
        "delete": publication.deletes,
    }
    missing = [operation for operation, sent in operations.items() if not sent]
    if missing and config.tables:
        raise PublicationIncomplete(
            f"{name} does not publish {', '.join(missing)}",
            hint=f"ALTER PUBLICATION \"{name}\" SET (publish = 'insert, update, delete, truncate')",
        )
    return publication


def captured(tables: Iterable[PublishedTable], capture: Capture) -> list[PublishedTable]:
    """Return the published tables that are configured."""
    return [table for table in tables if capture.captures(table.relation.qualified_name)]


def check_tables(tables: Sequence[PublishedTable], config: Config, capture: Capture) -> None:
    """Check every configured table and outbox against what is published.

    Raises:
        PublicationIncomplete: configured tables are not in the publication.
        TablesRefused: tables cannot be captured as configured; all mistakes are listed.

    """
    names = {table.relation.qualified_name for table in tables}
    wanted = [table.name for table in config.tables if not table.is_glob]
    missing = [
        name for name in (*wanted, *(box.table for box in config.outboxes)) if name not in names
    ]
    if missing:
        raise PublicationIncomplete(
            f"{', '.join(missing)} not in publication {config.postgres.publication}",
            cause="the table does not exist, or was never added",
            hint="; ".join(
                f'ALTER PUBLICATION "{config.postgres.publication}" ADD TABLE {name}'
                for name in missing
            ),
        )
    mistakes = capture.collisions(names)
    for table in captured(tables, capture):
        mistakes += capture.mistakes(table.relation, table.facts)
        mistakes += _dimension_mistakes(table, capture)
    if mistakes:
        raise TablesRefused("\n" + "\n".join(f"  - {mistake}" for mistake in mistakes))


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
    """Return the topics known before the first row: of tables, messages and transactions."""
    names = [
        table_topic(capture.service, table.relation.namespace, table.relation.name)
        for table in captured(tables, capture)
        if capture.outbox(table.relation.qualified_name) is None
    ]
    names += [message_topic(capture.service)] if config.messages.prefixes else []
    return names + ([transaction_topic(capture.service)] if capture.boundaries else [])


def check_null_keys(
    tables: Iterable[PublishedTable],
    topics: Mapping[str, Topic],
    capture: Capture,
    publication: Publication,
) -> None:
    """Check that no table that may send null keys goes to a compacted topic.

    Raises:
        TopicUnfit: one does; the broker would reject its whole transaction, for ever.

    """
    faults = []
    for table in captured(tables, capture):
        config = capture.table(table.relation.qualified_name)
        relation = table.relation
        topic = topics.get(table_topic(capture.service, relation.namespace, relation.name))
        if config is None or topic is None or not topic.compacted:
            continue
        if config.unkeyed and not (config.key or table.facts.key_columns):
            faults.append(f"{topic.name} is compacted, but {relation.qualified_name} has no key")
        elif config.truncate == "event" and publication.truncates:
            faults.append(
                f"{topic.name} is compacted, but truncate events of {relation.qualified_name}"
                ' have no key: set truncate = "halt"'
            )
    if faults:
        raise TopicUnfit("; ".join(faults), hint="or give the topic cleanup.policy=delete")

"""What must hold before anything is published; `run` refuses by it, `check` reports by it.

Each function looks at one thing and raises; nothing here writes anywhere.
"""

from collections.abc import Iterable, Mapping, Sequence

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import (
    ConfigChangedInside,
    PermissionMissing,
    PostgresUnavailable,
    PublicationIncomplete,
    PublicationMissing,
    SlotAhead,
    SlotMissing,
    SourceChanged,
    TablesRefused,
    TopicUnfit,
    WalLevelTooLow,
    WalWentBack,
)
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import message_topic, table_topic, transaction_topic
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity
from cdc_sidecar.kafka.topics import Topic
from cdc_sidecar.postgres.catalog import Publication, PublishedTable, read_publication
from cdc_sidecar.postgres.connect import Connection
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.replication import ReplicationConnection, SystemIdentity
from cdc_sidecar.postgres.slot import Server, SlotStatus


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
    return names + ([transaction_topic(capture.service)] if capture.transaction_metadata else [])


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


def identity_of(system: SystemIdentity, server: Server, config: Config) -> SourceIdentity:
    """Return who the source is now."""
    return SourceIdentity(
        system.system_identifier,
        system.timeline,
        server.database,
        server.database_oid,
        config.postgres.slot,
        config.postgres.publication,
    )


def check_identity(record: PositionRecord, now: SourceIdentity, history: Mapping[int, Lsn]) -> None:
    """Check that the source is the one that the position was read from (I7).

    `history` is where each ancestor of the server's timeline ended.

    Raises:
        SourceChanged: another system, database, slot, or a timeline that does not descend.
        ConfigChangedInside: another publication, while a split transaction is half published.

    """
    then = record.identity
    facts = [
        ("system identifier", then.system_identifier, now.system_identifier),
        (
            "database",
            f"{then.database} ({then.database_oid})",
            f"{now.database} ({now.database_oid})",
        ),
        ("slot", then.slot, now.slot),
    ]
    differing = [f"{name} was {was}, is {is_}" for name, was, is_ in facts if was != is_]
    end = record.position.end_lsn if record.position else Lsn(0)
    if not differing and then.timeline != now.timeline:
        forked = history.get(then.timeline)
        if forked is None or end > forked:
            left = f"timeline {now.timeline} left {then.timeline} at {format_lsn(forked or 0)}"
            differing = [f"{left}, {format_lsn(end)} is out"]
    if differing:
        raise SourceChanged(
            "; ".join(differing),
            cause="a restored backup, a clone, an unsynchronised failover, or another database",
            hint=_OTHER_SOURCE,
        )
    if record.position and record.position.partial and then.publication != now.publication:
        raise ConfigChangedInside(
            f"{_inside(record.position.partial)}: publication was {then.publication},"
            f" is {now.publication}",
            hint="restore postgres.publication until the transaction is through",
        )


def _inside(partial: Partial) -> str:
    return f"transaction {partial.xid} at {format_lsn(partial.final_lsn)}"


_OTHER_SOURCE = (
    "a clone: give it a service name or [kafka] transactional_id of its own; this service on a"
    " restored or upgraded server: `cdc-sidecar position accept-gap --new-source`"
)


def check_slot(
    position: Position, slot: SlotStatus | None, system: SystemIdentity, now: SourceIdentity
) -> SlotStatus:
    """Check that the slot is there and can be read.

    Raises:
        SlotMissing: the slot is gone.
        SlotLost, SlotUnfit: it cannot be read.

    """
    if slot is None:
        raise SlotMissing(
            f"slot {now.slot} is gone; all up to {format_lsn(position.end_lsn)} is published,"
            f" the server is at {format_lsn(system.flushed_lsn)}",
            cause="it was dropped, or left behind by a failover; the changes in between are gone",
            hint="see docs/how-to/recover-a-lost-slot.md",
        )
    slot.check(now.database)
    return slot


def check_wal_end(position: Position, system: SystemIdentity) -> None:
    """Check that the server has written what is published.

    Raises:
        WalWentBack: its WAL ends before the position.

    """
    if position.end_lsn > system.flushed_lsn:
        raise WalWentBack(
            f"{format_lsn(position.end_lsn)} is published, but the server's WAL ends at "
            f"{format_lsn(system.flushed_lsn)}",
            cause="a restored backup or a clone",
            hint=_OTHER_SOURCE,
        )


def check_position(
    record: PositionRecord,
    slot: SlotStatus | None,
    system: SystemIdentity,
    fingerprint: str,
) -> None:
    """Check that every change after the position can still be read, and none is skipped.

    Raises:
        SlotMissing: the slot is gone.
        SlotLost, SlotUnfit: it cannot be read.
        SlotAhead: it was confirmed beyond the position.
        WalWentBack: the server's WAL ends before the position.
        ConfigChangedInside: a split transaction is half published under another configuration.

    """
    position = record.position
    assert position is not None  # noqa: S101 - an intent is resolved before
    slot = check_slot(position, slot, system, record.identity)
    if slot.confirmed_flush_lsn > position.end_lsn:
        gap = slot.confirmed_flush_lsn - position.end_lsn
        raise SlotAhead(
            f"{format_lsn(position.end_lsn)} is published, but the slot begins at "
            f"{format_lsn(slot.confirmed_flush_lsn)}: a gap of {gap} bytes of WAL",
            cause="the slot was re-created or advanced, or the position is of an older backup",
            hint="look at it with `cdc-sidecar position accept-gap`, which can also go on after it",
        )
    check_wal_end(position, system)
    if position.partial and record.fingerprint != fingerprint:
        raise ConfigChangedInside(
            _inside(position.partial),
            hint="restore the old configuration until the transaction is through",
        )

"""Gaps of single tables: what was found at the source, and an operator's acceptance of it."""

from collections.abc import Mapping, Sequence

from cdc_sidecar.checks import preflight
from cdc_sidecar.checks.gaps import find_gaps, known
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import KafkaUnavailable
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.kafka.schemas import read_log
from cdc_sidecar.operations.claimant import claimant_of
from cdc_sidecar.operations.exclusion import exclusive
from cdc_sidecar.postgres.catalog import PublishedTable, read_published_tables
from cdc_sidecar.postgres.connect import Database


def read_table_gaps(config: Config) -> Mapping[str, str]:
    """Return the captured tables of which changes may be missing, each with the reason.

    Raises:
        SidecarError: Postgres or Kafka is not available.

    """
    return find_gaps(read_captured(config), read_log(config).tables)


def accept_table_gaps(config: Config) -> Mapping[str, str]:
    """Note the present membership of every captured table; return the gaps that were accepted.

    Raises:
        SidecarRunning: a sidecar is running; nothing was changed.
        SidecarError: Postgres or Kafka is not available.

    """
    with exclusive(config):
        tables, log = read_captured(config), read_log(config)
        gaps = find_gaps(tables, log.tables)
        if gaps:
            _accept(gaps, tables, log)
            write_log(config, log)
        return gaps


def _accept(gaps: Mapping[str, str], tables: Sequence[PublishedTable], log: SchemaLog) -> None:
    """Note the tables as they are now, and that their snapshots lack something."""
    for table in tables:
        log.tables.note_all([known(table)])
    log.snapshots.lose_changes(gaps)


def read_captured(config: Config) -> Sequence[PublishedTable]:
    """Return the published tables that are configured, and the outboxes.

    Raises:
        SidecarError: Postgres is not available.

    """
    database = Database(config.postgres)
    try:
        with database.connection() as connection:
            tables = read_published_tables(connection, config.postgres.publication)
    finally:
        database.close()
    return preflight.captured(tables, Capture.of(config))


def write_log(config: Config, log: SchemaLog) -> None:
    """Write what a log has to write, in a Kafka transaction of its own.

    Raises:
        KafkaUnavailable: Kafka is not available, or the commit took too long.

    """
    claimant = claimant_of(config)
    claim = claimant.claim()
    records = claimant.internal.schema_records(log.drain())
    # The position tells a later claim that the records were committed.
    if not claimant.write(claim.producer, claim.record, *records):
        raise KafkaUnavailable("the commit took too long; run the command again")
    claim.producer.drop()

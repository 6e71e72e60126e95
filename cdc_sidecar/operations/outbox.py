"""The outbox tables as commands see them: their stock, and the removal of what is published."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import ConfigChangedInside, PruneRefused
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.kafka.schemas import read_log
from cdc_sidecar.operations.observation import observe
from cdc_sidecar.postgres.connect import Connection, Database
from cdc_sidecar.postgres.lsn import Lsn, format_lsn
from cdc_sidecar.postgres.outbox_rows import Mark, OutboxRows, Stock, read_mark
from cdc_sidecar.postgres.slot import read_slot

_POLL: Final = 0.1
"""Seconds between two looks at the slot."""


@dataclass(frozen=True, slots=True)
class OutboxState:
    """One outbox table, and how much WAL of the source is not published yet."""

    table: str
    stock: Stock
    backlog: int

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "table": self.table,
            "rows": self.stock.rows,
            "oldest_seconds": self.stock.oldest,
            "bytes": self.stock.bytes,
            "backlog_bytes": self.backlog,
        }


def states(config: Config, wanted: str | None) -> list[OutboxState]:
    """Return the state of each outbox table, or of the wanted one.

    Raises:
        PruneRefused: no such outbox is configured.
        SidecarError: Postgres is not available, or a privilege is missing.

    """
    with _connection(config) as connection:
        slot = read_slot(connection, config.postgres.slot)
        backlog = (slot.confirmed_lag_bytes or 0) if slot else 0
        return [
            OutboxState(name, OutboxRows.of(outbox, 0).stock(connection), backlog)
            for name, outbox in _chosen(config, wanted)
        ]


def prune(
    config: Config, wanted: str | None, age: float, timeout: float
) -> Iterator[tuple[str, int, int]]:
    """Remove published rows of each outbox, and yield its table, deleted rows, dropped partitions.

    Rows that were written until now are removed once the slot shows that they are published.

    Raises:
        PruneRefused: it is not certain what is published, or how old a row is.
        SidecarError: Postgres or Kafka is not available, or a privilege is missing.

    """
    chosen = list(_chosen(config, wanted))
    for name, outbox in chosen:
        _check_age(name, outbox, age)
    _check_source(config)
    since = read_log(config).tables.since
    with _connection(config) as connection:
        mark = read_mark(connection)
        _await_published(config, connection, mark, timeout)
        _check_source(config)  # the slot may have been advanced or created anew meanwhile
        for name, outbox in chosen:
            if name not in since:
                raise _never_captured(name)
            yield name, *OutboxRows.of(outbox, age, since[name]).prune(connection, mark)


@contextmanager
def _connection(config: Config) -> Iterator[Connection]:
    database = Database(config.postgres)
    try:
        with database.connection() as connection:
            yield connection
    finally:
        database.close()


def _chosen(config: Config, wanted: str | None) -> Iterator[tuple[str, Outbox]]:
    tables = [(box.table, box) for box in config.outboxes if box.table and not box.dropped]
    names = [table for table, _ in tables]
    if not names or (wanted is not None and wanted not in names):
        raise PruneRefused(
            f"{wanted} is not an outbox table" if wanted else "no outbox has a table",
            hint=f"name one of {', '.join(names)}" if names else "add [[outboxes]] with a table",
        )
    return (pair for pair in tables if wanted in (None, pair[0]))


def _never_captured(table: str) -> PruneRefused:
    return PruneRefused(
        f"no sidecar has captured {table} yet", hint="start the sidecar with this configuration"
    )


def _check_age(table: str, outbox: Outbox, age: float) -> None:
    if age and outbox.columns.timestamp is None:
        raise PruneRefused(
            f"nothing shows how old the rows of {table} are",
            hint="name a column with the time of the event in [outboxes.columns] timestamp; or"
            ' let the running sidecar prune, with prune = "1h" in [[outboxes]]; or remove'
            " everything that is published, with --older-than 0s",
        )


def _check_source(config: Config) -> None:
    """Check that a sidecar has published this database, and not one that it was copied from."""
    fingerprint = Capture.of(config).fingerprint
    seen = observe(config, fingerprint)
    fault = seen.mismatch or seen.fault(fingerprint)
    if fault and not isinstance(fault, ConfigChangedInside):
        raise fault
    if seen.record is None or seen.record.position is None:
        raise PruneRefused(
            "nothing of this database is published: there is no position in Kafka",
            hint="start the sidecar first",
        )


def _await_published(config: Config, connection: Connection, mark: Mark, timeout: float) -> None:
    until = time.monotonic() + timeout
    while True:
        slot = read_slot(connection, config.postgres.slot)
        confirmed = slot.confirmed_flush_lsn if slot else Lsn(0)
        if confirmed >= mark.lsn:
            return
        if time.monotonic() > until:
            raise PruneRefused(
                f"rows may not be published yet: the slot is confirmed up to"
                f" {format_lsn(confirmed)}, and they end at {format_lsn(mark.lsn)}",
                cause="no sidecar streams, or it is behind",
                hint="start the sidecar, wait until `cdc-sidecar status` shows no lag, and repeat",
            )
        time.sleep(_POLL)

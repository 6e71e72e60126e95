"""The replication slot and the server behind it, as the catalog shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import class_row

from cdc_sidecar.errors import ServerUnsupported, SlotLost, SlotUnfit
from cdc_sidecar.postgres.lsn import Lsn, parse_lsn

OLDEST_VERSION = 140000
NEWEST_VERSION = 189999

_CAUSES: Final[Mapping[str | None, str]] = {
    None: "more WAL was held back than max_slot_wal_keep_size allows",  # before 17 the only reason
    "wal_removed": "more WAL was held back than max_slot_wal_keep_size allows",
    "idle_timeout": "nobody read it for longer than idle_replication_slot_timeout",
    "rows_removed": "the server, a standby, removed rows that it needs: hot_standby_feedback",
    "wal_level_insufficient": "wal_level was lowered on the primary server",
}
"""The server's setting behind each `invalidation_reason`."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server and the database that we are connected to."""

    version: int  # server_version_num
    wal_level: str
    database: str
    database_oid: int
    in_recovery: bool
    wal_sender_timeout: float  # seconds; 0 is never
    user: str
    may_replicate: bool
    wal_end: Lsn


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """One row of `pg_replication_slots`; byte counts are None where the server does not say."""

    name: str
    plugin: str
    database: str
    temporary: bool
    active_pid: int | None
    confirmed_flush_lsn: Lsn
    wal_status: str
    invalidation_reason: str | None
    safe_wal_size: int | None
    retained_bytes: int | None
    confirmed_lag_bytes: int | None
    inactive_since: float | None  # seconds since 1970; since version 17, where nobody reads it

    @property
    def lost(self) -> bool:
        """Whether the server has invalidated it: no change can be read from it any more."""
        return self.wal_status == "lost" or self.invalidation_reason is not None

    def check(self, database: str) -> None:
        """Check that changes can be read from it.

        Raises:
            SlotUnfit: another plugin, another database, or temporary.
            SlotLost: the server has invalidated it.

        """
        if self.plugin != "pgoutput" or self.database != database or self.temporary:
            raise SlotUnfit(
                f"slot {self.name} has plugin {self.plugin}, database {self.database}"
                + (", and is temporary" if self.temporary else ""),
                hint=f"use a permanent pgoutput slot of database {database}",
            )
        self.check_kept()

    def check_kept(self) -> None:
        """Check that the server has kept what was not read.

        Raises:
            SlotLost: it has invalidated the slot.

        """
        if self.lost:
            reason = self.invalidation_reason
            raise SlotLost(
                f"slot {self.name}: wal_status {self.wal_status}, reason {reason or 'not said'}",
                cause=_CAUSES.get(reason, "the server invalidated it"),
                hint="the changes in between are gone: see docs/how-to/recover-a-lost-slot.md",
            )


@dataclass(frozen=True, slots=True)
class DecodedSums:
    """What the server has decoded for a slot since its statistics were last reset."""

    transactions: int
    bytes: int
    spilled_transactions: int  # larger than logical_decoding_work_mem
    spills: int
    spilled_bytes: int


@dataclass(frozen=True, slots=True)
class Walsender:
    """The process that reads a slot; None where our role may not see it.

    `state` and LSNs are for members of pg_read_all_stats, `wait_event` also for the same role.
    """

    pid: int
    state: str | None
    sent_lsn: Lsn | None
    flush_lsn: Lsn | None
    wait_event: str | None  # None is at work too

    @property
    def may_be_sending(self) -> bool:
        """Whether it may be in the middle of a transaction, however long that takes."""
        return self.wait_event in (None, "WalSenderWriteData")


@dataclass(frozen=True, slots=True)
class SlotActivity:
    """What the server's statistics tell of a slot; nothing of one that was never read."""

    sums: DecodedSums | None
    walsender: Walsender | None


_SERVER = """
SELECT current_setting('server_version_num')::int AS version,
       current_setting('wal_level') AS wal_level,
       current_database() AS database,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database_oid,
       pg_is_in_recovery() AS in_recovery,
       (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'wal_sender_timeout')
           AS wal_sender_timeout,
       current_user AS user,
       coalesce((SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user),
                false) AS may_replicate,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_lsn() END::text AS wal_end
"""

_SLOT = """
SELECT slot_name::text AS name, coalesce(plugin::text, '') AS plugin,
       coalesce(database::text, '') AS database, temporary, active_pid,
       coalesce(confirmed_flush_lsn, '0/0')::text AS confirmed_flush_lsn,
       coalesce(wal_status, '') AS wal_status, {reason} AS invalidation_reason, safe_wal_size,
       pg_wal_lsn_diff(w.lsn, restart_lsn)::bigint AS retained_bytes,
       pg_wal_lsn_diff(w.lsn, confirmed_flush_lsn)::bigint AS confirmed_lag_bytes,
       {since} AS inactive_since
FROM pg_replication_slots,
     (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                  ELSE pg_current_wal_lsn() END AS lsn) w
WHERE slot_name = %s
"""

_ACTIVITY = """
SELECT d.total_txns, d.total_bytes, d.spill_txns, d.spill_count, d.spill_bytes,
       s.active_pid, r.state, r.sent_lsn::text, r.flush_lsn::text, a.wait_event
FROM pg_replication_slots s
LEFT JOIN pg_stat_replication_slots d ON d.slot_name = s.slot_name
LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class _ServerRow:
    version: int
    wal_level: str
    database: str
    database_oid: int
    in_recovery: bool
    wal_sender_timeout: float
    user: str
    may_replicate: bool
    wal_end: str


def read_server(connection: psycopg.Connection) -> Server:
    """Return the facts of the server."""
    with connection.cursor(row_factory=class_row(_ServerRow)) as cursor:
        row = cursor.execute(_SERVER).fetchone()
    assert row is not None  # noqa: S101 - one row by construction
    return Server(
        row.version,
        row.wal_level,
        row.database,
        row.database_oid,
        row.in_recovery,
        row.wal_sender_timeout,
        row.user,
        row.may_replicate,
        parse_lsn(row.wal_end),
    )


def check_version(server: Server) -> None:
    """Check that the server's version is supported.

    Raises:
        ServerUnsupported: it is older or newer.

    """
    if not OLDEST_VERSION <= server.version <= NEWEST_VERSION:
        raise ServerUnsupported(
            f"server_version_num {server.version}", hint="use PostgreSQL 14 to 18"
        )


def read_slot(connection: psycopg.Connection, name: str) -> SlotStatus | None:
    """Return the status of a slot, or None where there is none of this name."""
    known = connection.info.server_version >= 170000  # noqa: PLR2004 - both columns are new
    query = _SLOT.format(
        reason="invalidation_reason" if known else "NULL::text",
        since="extract(epoch FROM inactive_since)::float8" if known else "NULL::float8",
    )
    row = connection.execute(query.encode(), (name,)).fetchone()
    if row is None:
        return None
    fields = list(row)
    fields[5] = parse_lsn(fields[5])
    return SlotStatus(*fields)


def read_activity(connection: psycopg.Connection, name: str) -> SlotActivity:
    """Return what the statistics views show of a slot."""
    row = connection.execute(_ACTIVITY, (name,)).fetchone()
    if row is None:
        return SlotActivity(None, None)
    pid, state, sent, flush, wait_event = row[5:]
    sums = None if row[0] is None else DecodedSums(*row[:5])
    walsender = pid and Walsender(pid, state, _lsn(sent), _lsn(flush), wait_event)
    return SlotActivity(sums, walsender or None)


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else parse_lsn(text)

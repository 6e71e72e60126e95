"""The replication slot as the catalog and the statistics views of the server show it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import dict_row

from cdc_sidecar.errors import SlotBusy, SlotLost, SlotUnfit
from cdc_sidecar.postgres.connect import SLOT_LOST_HINT
from cdc_sidecar.postgres.lsn import Lsn, parse_lsn

_CAUSES: Final[Mapping[str | None, str]] = {
    # before version 17 the only reason, and without a name
    None: "the slot retained more WAL than max_slot_wal_keep_size allows",
    "wal_removed": "the slot retained more WAL than max_slot_wal_keep_size allows",
    "idle_timeout": "the slot was not read for longer than idle_replication_slot_timeout",
    "rows_removed": "the standby removed catalog rows that the slot needs; hot_standby_feedback "
    "prevents that",
    "wal_level_insufficient": "wal_level was lowered on the primary server",
}
"""The server's setting that each `invalidation_reason` depends on."""


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """One row of `pg_replication_slots`; byte counts are None if the server does not know them."""

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
    inactive_since: float | None  # seconds since 1970; None while it is read, and before 17
    clock_offset: float | None = None  # seconds by which the clock of the server is ahead of ours

    @property
    def lost(self) -> bool:
        """Whether the server has invalidated the slot: no change can be read from it any more."""
        return self.wal_status == "lost" or self.invalidation_reason is not None

    @property
    def limit_bytes(self) -> int | None:
        """The WAL that the server keeps for the slot at most, about; None without a limit."""
        if self.safe_wal_size is None or self.retained_bytes is None:
            return None
        return self.retained_bytes + max(0, self.safe_wal_size)

    def check(self, database: str) -> None:
        """Check that changes can be read from the slot.

        Raises:
            SlotUnfit: it has another plugin or another database, or is temporary.
            SlotLost: the server has invalidated it.

        """
        if self.plugin != "pgoutput" or self.database != database or self.temporary:
            raise SlotUnfit(
                f"slot {self.name} has plugin {self.plugin}, database {self.database}"
                + (", and is temporary" if self.temporary else ""),
                hint="set another postgres.slot; or, if nothing else uses this slot, run"
                f" SELECT pg_drop_replication_slot('{self.name}'), so that a pgoutput slot of"
                f" database {database} can have its name",
            )
        self.check_kept()

    def check_reader(self, *, is_ours: bool) -> None:
        """Check that no other program reads the slot; a sidecar that does holds its lock.

        Raises:
            SlotBusy: another one does.

        """
        if self.active_pid is not None and not is_ours:
            raise SlotBusy(
                f"slot {self.name} is read by process {self.active_pid}, which is no sidecar",
                cause="another program has the same slot in its configuration",
                hint="stop this program, or give each a slot of its own: SELECT"
                f" pg_terminate_backend({self.active_pid}) ends its connection",
            )

    def check_kept(self) -> None:
        """Check that the server has kept the changes that were not read.

        Raises:
            SlotLost: the server has invalidated the slot.

        """
        if self.lost:
            reason = self.invalidation_reason
            raise SlotLost(
                f"slot {self.name}: wal_status {self.wal_status}, reason {reason or 'unknown'}",
                cause=_CAUSES.get(reason, "the server invalidated the slot"),
                hint=SLOT_LOST_HINT,
            )


@dataclass(frozen=True, slots=True)
class DecodedSums:
    """The amounts that the server decoded for a slot since its statistics were last reset."""

    transactions: int
    bytes: int
    spilled_transactions: int  # larger than logical_decoding_work_mem
    spills: int
    spilled_bytes: int


@dataclass(frozen=True, slots=True)
class Walsender:
    """The server process that sends a slot's changes; a field is None if our role may not see it.

    Members of pg_read_all_stats see every field; the walsender's own role sees `wait_event`.
    """

    pid: int
    state: str | None
    sent_lsn: Lsn | None
    flush_lsn: Lsn | None
    wait_event: str | None  # None also while it is working

    @property
    def may_be_sending(self) -> bool:
        """Whether it may be in the middle of a transaction, which may take any time."""
        return self.wait_event in (None, "WalSenderWriteData")


@dataclass(frozen=True, slots=True)
class SlotActivity:
    """The server's statistics of a slot."""

    sums: DecodedSums | None  # None if nothing was ever decoded
    walsender: Walsender | None  # None while no connection reads the slot


_SLOT = """
SELECT slot_name::text AS name, coalesce(plugin::text, '') AS plugin,
       coalesce(database::text, '') AS database, temporary, active_pid,
       coalesce(confirmed_flush_lsn, '0/0')::text AS confirmed_flush_lsn,
       coalesce(wal_status, '') AS wal_status, {reason} AS invalidation_reason, safe_wal_size,
       pg_wal_lsn_diff(w.lsn, restart_lsn)::bigint AS retained_bytes,
       pg_wal_lsn_diff(w.lsn, confirmed_flush_lsn)::bigint AS confirmed_lag_bytes,
       {since} AS inactive_since,
       extract(epoch FROM clock_timestamp())::float8 AS clock
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


def read_slot(connection: psycopg.Connection, name: str) -> SlotStatus | None:
    """Return the status of a slot, or None if there is no slot of this name."""
    known = connection.info.server_version >= 170000  # noqa: PLR2004 - both columns came with 17
    query = _SLOT.format(
        reason="invalidation_reason" if known else "NULL::text",
        since="extract(epoch FROM inactive_since)::float8" if known else "NULL::float8",
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query.encode(), (name,)).fetchone()
    if row is None:
        return None
    offset = row.pop("clock") - time.time()
    confirmed = parse_lsn(row["confirmed_flush_lsn"])
    return SlotStatus(**{**row, "confirmed_flush_lsn": confirmed, "clock_offset": offset})


def read_activity(connection: psycopg.Connection, name: str) -> SlotActivity:
    """Return the statistics of a slot."""
    row = connection.execute(_ACTIVITY, (name,)).fetchone()
    if row is None:
        return SlotActivity(None, None)
    pid, state, sent, flush, wait_event = row[5:]
    sums = None if row[0] is None else DecodedSums(*row[:5])
    walsender = pid and Walsender(pid, state, _lsn(sent), _lsn(flush), wait_event)
    return SlotActivity(sums, walsender or None)


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else parse_lsn(text)


def copy_slot(connection: psycopg.Connection, source: str, name: str) -> None:
    """Create the slot `name`, which begins where the slot `source` does.

    Raises:
        psycopg.Error: the server refuses, for instance because the copied slot is in use.

    """
    connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", (source, name))

"""The facts of the source server and of the database that we are connected to."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import dict_row

from cdc_sidecar.errors import ServerUnsupported
from cdc_sidecar.postgres.lsn import Lsn, parse_lsn

OLDEST_VERSION = 140000
"""`server_version_num`: pgoutput has the option `messages` since version 14."""
NEWEST_VERSION = 189999
"""`server_version_num` of the last release that the tests run on, with all its minor releases.
`check` warns of a newer one.
"""

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
            ELSE pg_current_wal_lsn() END::text AS wal_end,
       current_setting('application_name') AS application_name,
       current_setting('synchronous_standby_names') AS synchronous_standby_names,
       current_setting('max_slot_wal_keep_size') AS max_slot_wal_keep_size,
       current_setting('max_replication_slots')::int - (SELECT count(*)::int
           FROM pg_replication_slots) AS free_slots,
       current_setting('max_replication_slots')::int AS max_replication_slots
"""


@dataclass(frozen=True, slots=True)
class SourceServer:
    """The source server and the database that we are connected to."""

    version: int  # server_version_num
    wal_level: str
    database: str
    database_oid: int
    in_recovery: bool
    wal_sender_timeout: float  # seconds; 0 is never
    user: str
    may_replicate: bool
    wal_end: Lsn
    application_name: str  # of our connections
    synchronous_standby_names: str
    max_slot_wal_keep_size: str  # "-1": a slot may retain any amount of WAL
    free_slots: int
    max_replication_slots: int

    @property
    def waits_for_us(self) -> bool:
        """Whether commits would wait until we have confirmed them, as a synchronous standby does.

        `syncrep_gram.y`: a list of names, alone or in parentheses; `*` matches every name.
        """
        listed = self.synchronous_standby_names.rpartition("(")[2].partition(")")[0]
        names = {name.strip().strip('"').casefold() for name in listed.split(",")}
        return not names.isdisjoint({"*", self.application_name.casefold()})

    @property
    def release(self) -> str:
        """The version as people write it, such as 18.6."""
        return f"{self.version // 10000}.{self.version % 10000}"


def read_server(connection: psycopg.Connection) -> SourceServer:
    """Return the facts of the server."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SERVER).fetchone()
    assert row is not None  # noqa: S101 - the query has no FROM, so it returns one row
    return SourceServer(**{**row, "wal_end": parse_lsn(row["wal_end"])})


def check_version(server: SourceServer) -> None:
    """Check that the server's version is supported.

    Raises:
        ServerUnsupported: it is too old.

    """
    if server.version < OLDEST_VERSION:
        raise ServerUnsupported(
            f"PostgreSQL {server.release} is too old", hint="use PostgreSQL 14 or newer"
        )

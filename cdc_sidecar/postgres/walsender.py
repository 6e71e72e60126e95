"""A connection to a walsender and its simple queries: identity, timelines, slots and the lock.

PostgreSQL documentation, "Streaming Replication Protocol". A walsender refuses the extended query
protocol. One thread owns a connection at a time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from psycopg import pq

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.errors import PostgresUnavailable
from cdc_sidecar.postgres import exchange
from cdc_sidecar.postgres.connect import connection_string, server_of, translate, translated
from cdc_sidecar.postgres.lsn import Lsn, parse_lsn
from cdc_sidecar.postgres.refusal import connect
from cdc_sidecar.postgres.sql_names import always_quoted
from cdc_sidecar.postgres.waiting import SocketWaiter

QUERY_TIMEOUT: Final = 30.0
"""Seconds. Each query reads memory or a small file, so a server that is only busy answers sooner.
A frozen server must not block a session forever.
"""
CREATE_TIMEOUT: Final = 600.0
"""Seconds. A new slot waits for every running transaction, and these may take minutes."""

_ACCEPTED: Final = (
    pq.ExecStatus.TUPLES_OK.value,
    pq.ExecStatus.COMMAND_OK.value,
    pq.ExecStatus.COPY_BOTH.value,
    pq.ExecStatus.COPY_OUT.value,
)


@dataclass(frozen=True, slots=True)
class SystemIdentity:
    """The answer to IDENTIFY_SYSTEM."""

    system_identifier: str
    timeline: int
    flushed_lsn: Lsn
    database: str


class WalsenderConnection:
    """One connection in replication mode, for simple queries."""

    def __init__(self, config: Postgres) -> None:
        """Connect.

        Raises:
            SidecarError: the error of the server or the network, translated.

        """
        with translated(server_of(config)):
            self._connection = connect(connection_string(config, replication="database"))
        self._pgconn = self._connection.pgconn
        self._pgconn.nonblocking = 1
        self._waiter = SocketWaiter(self._pgconn.socket)
        self.backend_pid = self._pgconn.backend_pid
        """The walsender's process id; known also after the connection was lost."""

    def query(
        self,
        statement: str,
        timeout: float = QUERY_TIMEOUT,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[tuple[str | None, ...]]:
        """Run one simple query and return its rows as text; give up when `stopping`.

        Raises:
            SidecarError: the server's error, translated; PostgresUnavailable at the time-out.

        """
        result = self._send(statement, timeout, stopping)
        return [
            tuple(
                None if (value := result.get_value(row, column)) is None else value.decode()
                for column in range(result.nfields)
            )
            for row in range(result.ntuples)
        ]

    def _send(
        self,
        statement: str,
        timeout: float = QUERY_TIMEOUT,
        stopping: Callable[[], bool] = lambda: False,
    ) -> pq.abc.PGresult:
        """Send a simple query and return its first result."""
        step = exchange.send_query(self._pgconn, statement)
        with translated():
            try:
                result = self._waiter.run(step, time.monotonic() + timeout, stopping)
            except TimeoutError as error:
                raise PostgresUnavailable(
                    "no answer to a query on the replication connection"
                ) from error
        if result is None:
            raise PostgresUnavailable("the server closed the replication connection")
        self._check(result)
        return result

    def _check(self, result: pq.abc.PGresult) -> None:
        """Raise the translated error if the result is one."""
        if result.status not in _ACCEPTED:
            sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
            message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
            routine = result.error_field(pq.DiagnosticField.SOURCE_FUNCTION) or b""
            state = sqlstate.decode() if sqlstate else "08006"
            raise translate(state, message.decode(errors="replace"), routine.decode())

    def try_lock(self, key: int) -> bool:
        """Take an advisory lock until this connection closes; return whether it was free."""
        return self.query(f"SELECT pg_try_advisory_lock({key})")[0][0] == "t"

    def identify_system(self) -> SystemIdentity:
        """Return the identity of the server."""
        identifier, timeline, lsn, database = self.query("IDENTIFY_SYSTEM")[0]
        return SystemIdentity(
            identifier or "", int(timeline or 0), parse_lsn(lsn or "0/0"), database or ""
        )

    def is_standby(self) -> bool:
        """Return whether the server is in recovery, as a standby is."""
        return self.query("SELECT pg_is_in_recovery()")[0][0] == "t"

    def timeline_history(self, timeline: int) -> dict[int, Lsn]:
        """Return where each ancestor of a timeline ended (`TIMELINE_HISTORY`).

        Empty if the server has lost the file, as after `pg_resetwal -l`: no ancestor is known then.
        """
        if timeline == 1:
            return {}
        try:
            content = self.query(f"TIMELINE_HISTORY {timeline}")[0][1] or ""
        except PostgresUnavailable as error:
            if f"{timeline:08X}.history" not in error.fact:
                raise
            return {}
        return _ends_of_timelines(content)

    def create_slot(self, name: str, stopping: Callable[[], bool]) -> Lsn:
        """Create the logical slot and return its consistent point.

        The server waits until every transaction that is running now has ended.
        """
        quoted = always_quoted(name)
        statement = f"CREATE_REPLICATION_SLOT {quoted} LOGICAL pgoutput NOEXPORT_SNAPSHOT"
        row = self.query(statement, timeout=CREATE_TIMEOUT, stopping=stopping)[0]
        return parse_lsn(row[1] or "0/0")

    def drop_slot(self, name: str) -> None:
        """Drop a slot.

        Raises:
            SlotBusy: another connection reads it.
            SlotMissing: it does not exist.

        """
        self.query(f"DROP_REPLICATION_SLOT {always_quoted(name)}")

    def close(self) -> None:
        """Close the connection, which frees its lock and its slot."""
        self._connection.close()


def _ends_of_timelines(history: str) -> dict[int, Lsn]:
    """Return where each timeline of a history file ended."""
    if history.startswith("\\x"):
        history = bytes.fromhex(history[2:]).decode()
    lines = [line.split() for line in history.splitlines()]
    return {
        int(words[0]): parse_lsn(words[1])
        for words in lines
        if len(words) > 1 and words[0].isdigit()
    }

"""The demo's auditor: a thread that reads the oracle and the sidecar's lag."""

import threading
from typing import Final

import psycopg

from cdc_sidecar.demo.oracle import Oracle
from cdc_sidecar.demo.shop import SLOT
from cdc_sidecar.demo.verdict import Tally
from cdc_sidecar.errors import SidecarError

_PAUSE: Final = 1.0  # seconds between two reads, each of which decodes the WAL since the last one
_LAG: Final = """
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""


class Auditor(threading.Thread):
    """Adds the expected events to the tally. `error` is the reason if the thread ended early."""

    def __init__(self, dsn: str, tally: Tally, lock: threading.Lock) -> None:
        """Create the oracle's slot. Events are expected from the next commit on."""
        super().__init__(name="auditor", daemon=True)
        self._oracle = Oracle(dsn)
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._tally = tally
        self._lock = lock
        self._stopping = threading.Event()
        self.lag_bytes: int | None = None
        self.error: psycopg.Error | SidecarError | None = None

    def finish(self) -> None:
        """Read the remaining events, then end the thread. All writers must have ended."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Read until `finish`, and then once more."""
        try:
            while not self._stopping.wait(_PAUSE):
                self._read()
            self._read()
        except (psycopg.Error, SidecarError) as error:
            self.error = error
        finally:
            self._oracle.close()
            self._connection.close()

    def _read(self) -> None:
        row = self._connection.execute(_LAG, [SLOT]).fetchone()
        self.lag_bytes = row[0] if row else None
        for event in self._oracle.read():
            with self._lock:
                self._tally.expect(event)

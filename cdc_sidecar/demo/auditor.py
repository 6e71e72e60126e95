"""The demo's auditor: a thread that reads the oracle, and how far the sidecar is behind."""

import threading
from typing import Final

import psycopg

from cdc_sidecar.demo.oracle import Oracle
from cdc_sidecar.demo.shop import SLOT
from cdc_sidecar.demo.verdict import Ledger
from cdc_sidecar.errors import SidecarError

_PAUSE: Final = 1.0  # seconds
_LAG: Final = """
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""


class Auditor(threading.Thread):
    """Tells the ledger what must come. `error` says why it ended early."""

    def __init__(self, dsn: str, ledger: Ledger, lock: threading.Lock) -> None:
        """Create the oracle's slot: what is committed from now on counts."""
        super().__init__(name="auditor", daemon=True)
        self._oracle = Oracle(dsn)
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._ledger = ledger
        self._lock = lock
        self._stopping = threading.Event()
        self.lag_bytes: int | None = None
        self.error: psycopg.Error | SidecarError | None = None

    def finish(self) -> None:
        """Read what is left, and end; nothing may be written any more."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Read until told to finish, and once more then."""
        try:
            while not self._stopping.wait(_PAUSE):
                self._look()
            self._look()
        except (psycopg.Error, SidecarError) as error:
            self.error = error
        finally:
            self._oracle.close()
            self._connection.close()

    def _look(self) -> None:
        row = self._connection.execute(_LAG, [SLOT]).fetchone()
        self.lag_bytes = row[0] if row else None
        for event in self._oracle.read():
            with self._lock:
                self._ledger.expect(event)

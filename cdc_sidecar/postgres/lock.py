"""The advisory lock with which only one sidecar at a time reads a slot.

The replication connection takes it (`WalsenderConnection.try_lock`). This module gives its key and
reads who holds it, on an ordinary connection.
"""

import hashlib

import psycopg


def lock_key(slot: str) -> int:
    """Return the key of a slot's lock: 63 bits of a digest."""
    digest = hashlib.sha256(f"cdc-sidecar:{slot}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def holds_lock(connection: psycopg.Connection, backend_pid: int) -> bool:
    """Return whether a backend is alive and holds an advisory lock."""
    query = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = %s"
    return connection.execute(query, (backend_pid,)).fetchone() is not None


def lock_holder(connection: psycopg.Connection, key: int) -> int | None:
    """Return the id of the process that holds an advisory lock of this database, or None."""
    query = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND classid = %s AND objid = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    row = connection.execute(query, (key >> 32, key & 0xFFFFFFFF)).fetchone()
    return row[0] if row else None

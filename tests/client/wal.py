"""What a transaction leaves in the WAL, as the sidecar gets it: rows and logical messages."""

import json
import re
from typing import Any

import psycopg

SLOT = "outbox_test"
_CONTENT = re.compile(r"message: transactional: 1 prefix: (\S+), sz: \d+ content:(.*)", re.DOTALL)
_ROW = re.compile(r"table (\S+): (INSERT|DELETE): ")
_CHANGES = "SELECT data FROM pg_logical_slot_get_changes(%s, NULL, NULL, 'skip-empty-xacts', '1')"


def make_slot(dsn: str) -> None:
    """Make a slot that decodes to text; `drop_slots` of the database's fixture removes it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_create_logical_replication_slot(%s, 'test_decoding')",
            (f"{SLOT}_{_db(dsn)}",),
        )


def read_changes(dsn: str) -> list[str]:
    """Return the lines of `test_decoding` since the last call, without BEGIN and COMMIT."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(_CHANGES, (f"{SLOT}_{_db(dsn)}",)).fetchall()
    return [line for (line,) in rows if not line.startswith(("BEGIN", "COMMIT"))]


def operations(lines: list[str]) -> list[str]:
    """Return the operations on rows."""
    return [match[2] for line in lines if (match := _ROW.match(line))]


def messages(lines: list[str]) -> list[tuple[str, Any]]:
    """Return prefix and JSON of each logical message."""
    return [(match[1], json.loads(match[2])) for line in lines if (match := _CONTENT.match(line))]


def _db(dsn: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])

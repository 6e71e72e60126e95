"""The outbox works without any package that is not in use."""

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
import sqlite3
from cdc_sidecar_client import ConnectionUnknown, Outbox, PayloadRefused, position
outbox = Outbox("message", schemas={schemas!r})
for connection in (sqlite3.connect(":memory:"), object()):
    try:
        outbox.emit(connection, {{}}, aggregate=("order", "1"), type="OrderPlaced")
    except ConnectionUnknown as error:
        print(error)
from cdc_sidecar_client.outbox import trace_of_caller
print(trace_of_caller())
"""
_REFUSED = {
    *("asyncpg", "attr", "attrs", "cdc_sidecar", "confluent_kafka", "django", "fastavro"),
    *("opentelemetry", "psycopg", "pydantic", "sqlalchemy"),
}
_SCHEMAS = Path(__file__).parents[2] / "examples" / "orders" / "schemas"


def test_only_the_driver_of_the_connection_is_imported() -> None:
    program = _PROGRAM.format(refused=_REFUSED, schemas=str(_SCHEMAS))
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    known = "cannot be used here: known are connections of psycopg, sqlalchemy, asyncpg, django"
    expected = [f"sqlite3.Connection {known}", f"builtins.object {known}", "{}"]
    assert run.stdout.splitlines() == expected

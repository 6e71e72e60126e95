"""Kafka Connect with Debezium's source for Postgres, as somebody runs it who then leaves it."""

import json
import urllib.error
import urllib.request
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from benchmarks.debezium import Connect
from tests.waiting import await_true

SLOT, PUBLICATION = "debezium", "dbz_publication"


class Source:
    """One connector named as its topics' prefix; `registry` keeps its schemas."""

    def __init__(self, connect: Connect, name: str, database: str) -> None:
        self._url = f"{connect.url}/connectors"
        self._name = name
        self._config = _config(name, database)

    def start(self) -> None:
        """Create the connector; return when the worker has accepted it."""
        await_true(self._created, deadline=60, what="the connector exists")

    def stop(self) -> None:
        """Stop the connector; its offsets stay."""
        self._ask("PUT", f"/{self._name}/stop")

    def resume(self) -> None:
        """Let the connector continue from its offsets."""
        self._ask("PUT", f"/{self._name}/resume")

    def offset(self) -> dict[str, Any]:
        """Return the offset that a stopped connector has committed."""
        (kept,) = self._ask("GET", f"/{self._name}/offsets")["offsets"]
        offset: dict[str, Any] = kept["offset"]
        return offset

    def _created(self) -> bool:
        try:
            self._ask("POST", "", {"name": self._name, "config": self._config})
        except urllib.error.HTTPError:  # the worker is still joining its group
            return False
        return True

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(  # noqa: S310 - on this machine
            f"{self._url}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            return json.loads(answer.read() or b"null")


def _config(name: str, database: str) -> dict[str, str]:
    words = conninfo_to_dict(database)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "exactly.once.support": "required",
        "database.hostname": str(words["host"]),
        "database.port": str(words["port"]),
        "database.user": "postgres",
        "database.password": "postgres",
        "database.dbname": str(words["dbname"]),
        "topic.prefix": name,
        "table.include.list": "public.orders",
        "plugin.name": "pgoutput",
        "slot.name": SLOT,
        "publication.name": PUBLICATION,
        "schema.name.adjustment.mode": "avro",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    }

"""Kafka Connect with Debezium's JDBC sink, which copies topics into a second database."""

import json
import urllib.request
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from benchmarks.debezium import Connect, root_cause
from tests.waiting import await_true


class Sink:
    """One sink connector; `database` is the connection string of its target."""

    def __init__(
        self, connect: Connect, name: str, topic: str, registry: str, database: str
    ) -> None:
        self._connect = connect
        self._name = name
        self._config = _config(topic, database) | _converters(registry)

    def start(self) -> None:
        """Create the connector, and wait until its task runs."""
        body = {"name": self._name, "config": self._config}
        self._ask("POST", "/connectors", body)
        await_true(self._runs, deadline=60, what="the sink runs")

    def close(self) -> None:
        """Remove the connector."""
        self._ask("DELETE", f"/connectors/{self._name}")

    def _runs(self) -> bool:
        try:
            tasks = self._ask("GET", f"/connectors/{self._name}/status")["tasks"]
        except urllib.error.HTTPError:  # the worker has not read its own topic yet
            return False
        return bool(tasks) and all(task["state"] == "RUNNING" for task in tasks)

    def await_true(self, condition: Any, what: str) -> None:  # noqa: ANN401 - any callable
        """Wait for a condition; fail with the cause if the task has failed meanwhile."""

        def reached() -> bool:
            for task in self._ask("GET", f"/connectors/{self._name}/status")["tasks"]:
                assert "trace" not in task, root_cause(task["trace"]) + task["trace"][:3000]
            return bool(condition())

        await_true(reached, deadline=60, what=what)

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(  # noqa: S310 - on this machine
            f"{self._connect.url}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            return json.loads(answer.read() or b"null")


def _converters(registry: str) -> dict[str, str]:
    converter = "io.confluent.connect.avro.AvroConverter"
    return {
        f"{part}.converter{setting}": value
        for part in ("key", "value")
        for setting, value in (("", converter), (".schema.registry.url", registry))
    }


def _config(topic: str, database: str) -> dict[str, str]:
    target = conninfo_to_dict(database)
    url = f"jdbc:postgresql://{target['host']}:{target['port']}/{target['dbname']}"
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "topics": topic,
        "connection.url": f"{url}?stringtype=unspecified",
        "connection.username": "postgres",
        "connection.password": "postgres",
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "truncate.enabled": "true",
        "primary.key.mode": "record_key",
        "schema.evolution": "none",
        "collection.name.format": "public.items",
        "consumer.override.isolation.level": "read_committed",
        "consumer.override.auto.offset.reset": "earliest",
    }

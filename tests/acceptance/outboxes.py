"""Three outboxes of one service, one of each shape, and the events that they send."""

import json
import uuid
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import psycopg

from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.events import read_registry, read_topics

TYPES: Final = 20  # aggregate types, each with a topic
KEYS: Final = 5  # aggregates of each type
SCHEMA: Final = {
    "type": "record",
    "name": "Noted",
    "namespace": "com.example",
    "fields": [
        {"name": "number", "type": "long"},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
    ],
}
CONFIG: Final = """
[[outboxes]]
table = "public.kept"
topic = "out.{name}.{{aggregatetype}}"
payload = "avro"
{more}
[outboxes.events.Noted]
schema = "noted.avsc"

[[outboxes]]
table = "public.passing"
topic = "out.{name}.{{aggregatetype}}"

[[outboxes]]
prefix = "events"
topic = "out.{name}.{{aggregatetype}}"
payload = "avro"
[outboxes.events.Noted]
schema = "noted.avsc"
"""
TABLE: Final = """
CREATE TABLE {} (id uuid PRIMARY KEY, number bigserial, aggregatetype text NOT NULL,
    aggregateid text NOT NULL, type text NOT NULL, payload jsonb)
"""
_COLUMNS: Final = "(id, aggregatetype, aggregateid, type, payload)"

Sent = tuple[str, str, int]
"""Aggregate type, aggregate and number of an event."""


def configure(service: Service, more: str = "") -> None:
    """Create the tables, and add the outboxes to the configuration."""
    folder = service.sidecar.config.parent
    (folder / "noted.avsc").write_text(json.dumps(SCHEMA))
    text = CONFIG.format(name=service.name, more=more)
    with service.sidecar.config.open("a") as config:
        config.write(MARKS + text)
    service.sql(
        TABLE.format("kept"), TABLE.format("passing"), "CREATE PUBLICATION cdc FOR ALL TABLES"
    )


@dataclass
class Writer:
    """Writes events in all shapes, and keeps them in the order of their commits."""

    dsn: str
    random: Random
    sent: list[Sent] = field(default_factory=list)

    def write(self, transactions: int = 4) -> None:
        """Write pairs of transactions; the one that begins first commits last."""
        for _ in range(transactions // 2):
            with psycopg.connect(self.dsn) as first, psycopg.connect(self.dsn) as second:
                late = self._fill(first, 6)
                early = self._fill(second, 6)
                second.commit()
                first.commit()
            self.sent += [*early, *late]

    def _fill(self, connection: psycopg.Connection, events: int) -> list[Sent]:
        return [self._emit(connection, number) for number in range(events)]

    def _emit(self, connection: psycopg.Connection, number: int) -> Sent:
        kind, key = f"t{self.random.randrange(TYPES)}", str(self.random.randrange(KEYS))
        order = connection.execute("SELECT nextval('kept_number_seq')").fetchone()
        assert order
        payload = json.dumps({"number": order[0], "price": f"{order[0]}.50"})
        values = (str(uuid.uuid4()), kind, key, "Noted", payload)
        match number % 3:
            case 0:
                connection.execute(f"INSERT INTO kept {_COLUMNS} VALUES (%s,%s,%s,%s,%s)", values)
            case 1:
                connection.execute(
                    f"INSERT INTO passing {_COLUMNS} VALUES (%s,%s,%s,%s,%s)", values
                )
                connection.execute("DELETE FROM passing WHERE id = %s", values[:1])
            case _:
                names = ("id", "aggregatetype", "aggregateid", "type")
                message = dict(zip(names, values, strict=False)) | {"payload": json.loads(payload)}
                connection.execute(
                    "SELECT pg_logical_emit_message(true, 'events', %s)", (json.dumps(message),)
                )
        return kind, key, int(order[0])


def received(service: Service) -> dict[tuple[str, str], list[int]]:
    """Return the numbers of all events by aggregate, in the order of the topics."""
    reader = read_registry(service.kafka, service.name)
    topics = [f"out.{service.name}.t{number}" for number in range(TYPES)]
    found: dict[tuple[str, str], list[int]] = {}
    for (topic, _), records in read_topics(service.kafka, topics).items():
        for key, framed, _ in records:
            value: Any = reader.read(framed or b"")
            payload = json.loads(value) if isinstance(value, str) else value
            assert payload["price"] == f"{payload['number']}.50"
            place = topic.removeprefix(f"out.{service.name}."), reader.read(key or b"")
            found.setdefault(place, []).append(payload["number"])
    return found


def expected(sent: list[Sent]) -> dict[tuple[str, str], list[int]]:
    """Return the same of the events in the order of their commits."""
    wanted: dict[tuple[str, str], list[int]] = {}
    for kind, key, number in sent:
        wanted.setdefault((kind, key), []).append(number)
    return wanted

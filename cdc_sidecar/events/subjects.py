"""The built-in registry: subjects, their versions, and relation layouts, by content.

What is registered here becomes visible with the Kafka transaction that carries it: `drain` hands
out the records of the schemas topic that the next row needs. One key per subject version
(`<subject>/<version>`), and one per relation layout (`layout/<digest>`), whose catalog facts a
replay takes instead of asking a catalog that may have moved on. Records `topic/<name>` beside them
are not ours.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from cdc_sidecar.errors import SchemaIdClash, SchemasUnreadable
from cdc_sidecar.events.schema import SchemaId, schema_id
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts

RECORD_VERSION: Final = 1
_FACTS = TypeAdapter(LayoutFacts)
_TEXT = TypeAdapter(str)


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One version of a subject; `schema` is canonical JSON."""

    subject: str
    version: int
    id: SchemaId
    schema: str


class Subjects:
    """All schemas and layouts known, in the order in which they were registered."""

    def __init__(self) -> None:
        self._versions: dict[str, list[SchemaVersion]] = {}
        self._by_id: dict[SchemaId, str] = {}
        self._layouts: dict[str, LayoutFacts] = {}
        self._pending: list[tuple[bytes, bytes]] = []

    def register(self, subject: str, schema: str) -> SchemaId:
        """Return the id of a schema in canonical JSON; a new version waits to be drained.

        Raises:
            SchemaIdClash: another schema has this id.

        """
        identifier = schema_id(schema)
        versions = self._versions.get(subject, [])
        if versions and versions[-1].schema == schema:
            return identifier
        known = next((version for version in versions if version.schema == schema), None)
        if known is None:
            added = SchemaVersion(subject, len(versions) + 1, identifier, schema)
            self._add(added)
            self._pending.append((_version_key(added), _version_value(added)))
        return identifier

    def layout(self, relation: Relation) -> LayoutFacts | None:
        """Return the stored facts of a relation layout."""
        return self._layouts.get(_digest(relation))

    def register_layout(self, relation: Relation, facts: LayoutFacts) -> None:
        """Store the facts of a layout; its record waits to be drained."""
        digest = _digest(relation)
        self._layouts[digest] = facts
        value = {
            "v": RECORD_VERSION,
            "table": relation.qualified_name,
            "facts": _FACTS.dump_python(facts, mode="json"),
        }
        self._pending.append((f"layout/{digest}".encode(), _dump(value)))

    def drain(self) -> list[tuple[bytes, bytes]]:
        """Return key and value of the records that must precede the next row."""
        drained, self._pending = self._pending, []
        return drained

    def load(self, key: bytes, value: bytes) -> None:
        """Take one record of the schemas topic.

        Raises:
            SchemasUnreadable: it is of another version, or malformed.
            SchemaIdClash: another schema has its id.

        """
        try:
            record = json.loads(value)
            if record["v"] != RECORD_VERSION:
                raise SchemasUnreadable(
                    f"record version {record['v']}", hint="run the newer version of the sidecar"
                )
            name, _, last = key.decode().rpartition("/")
            if name == "topic":
                return  # a topic that was made: see `cdc_sidecar.kafka.ledger`
            if "facts" in record:
                self._layouts[last] = _FACTS.validate_python(record["facts"], strict=False)
            else:
                schema = _TEXT.validate_python(record["schema"])
                self._add(SchemaVersion(name, int(last), schema_id(schema), schema))
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise SchemasUnreadable(f"record with key {key!r} is malformed") from error

    def _add(self, added: SchemaVersion) -> None:
        if self._by_id.setdefault(added.id, added.schema) != added.schema:
            raise SchemaIdClash(
                f"id {added.id} stands for two schemas, one of subject {added.subject}",
                hint='rename a column of one of them with [tables.column.X] rename = "…"',
            )
        versions = self._versions.setdefault(added.subject, [])
        if all(version.version != added.version for version in versions):
            versions.append(added)

    def names(self) -> list[str]:
        """Return all subjects, sorted."""
        return sorted(self._versions)

    def versions(self, subject: str) -> list[SchemaVersion]:
        """Return a subject's versions, oldest first; none where it is unknown."""
        return list(self._versions.get(subject, ()))

    def schema(self, identifier: int) -> str | None:
        """Return the canonical JSON of the schema with this id."""
        return self._by_id.get(SchemaId(identifier))

    def uses(self, identifier: int) -> list[SchemaVersion]:
        """Return every subject version that has this schema."""
        return [
            version
            for subject in self.names()
            for version in self._versions[subject]
            if version.id == identifier
        ]


def _digest(relation: Relation) -> str:
    """Return the name of a layout: the oid, and each column's name, type, typmod and flags."""
    layout = [
        relation.oid,
        relation.replica_identity.value,
        [[c.name, c.type_oid, c.type_modifier, c.is_key] for c in relation.columns],
    ]
    return hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:32]


def _version_key(version: SchemaVersion) -> bytes:
    return f"{version.subject}/{version.version}".encode()


def _version_value(version: SchemaVersion) -> bytes:
    return _dump(
        {
            "v": RECORD_VERSION,
            "subject": version.subject,
            "version": version.version,
            "id": version.id,
            "schemaType": "AVRO",
            "schema": version.schema,
        }
    )


def _dump(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

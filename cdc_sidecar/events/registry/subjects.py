"""The read model of the registry: every subject with its versions.

The HTTP pages and the readers of events use it. It holds what is loaded into it; a model that is
served is fed with committed records only.
"""

import threading
from functools import lru_cache
from typing import Final

from cdc_sidecar.errors import SchemaIdClash
from cdc_sidecar.events.registry.equality import resolve
from cdc_sidecar.events.registry.records import SchemaVersion, decode_schema_record
from cdc_sidecar.events.schema import SchemaId

_REMEMBERED: Final = 256  # schemas: every task of a Kafka Connect worker asks when it starts
_resolved = lru_cache(_REMEMBERED)(resolve)


class Subjects:
    """Subjects and their versions, in the order in which they were added; any thread may add."""

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self.complete = False
        """Whether everything is loaded that was committed before; set by whoever loads it."""
        self._versions: dict[str, list[SchemaVersion]] = {}
        self._by_id: dict[SchemaId, str] = {}

    def load(self, key: bytes, value: bytes) -> None:
        """Add the version in a record of the schemas topic; other records change nothing.

        Raises:
            SchemasUnreadable: the record is of another version, or malformed.
            SchemaIdClash: another schema has its id.

        """
        record = decode_schema_record(key, value)
        if isinstance(record, SchemaVersion):
            self.add(record)

    def add(self, added: SchemaVersion) -> None:
        """Add a version of a subject; one that is known changes nothing.

        Raises:
            SchemaIdClash: another schema has its id.

        """
        if self._by_id.setdefault(added.id, added.schema) != added.schema:
            raise SchemaIdClash(
                f"id {added.id} stands for two schemas, one of subject {added.subject}",
                hint='rename a column of one of them with [tables.column.X] rename = "…"',
            )
        with self._adding:
            versions = self._versions.setdefault(added.subject, [])
            if all(version.version != added.version for version in versions):
                versions.append(added)

    def names(self) -> list[str]:
        """Return all subjects, sorted."""
        return sorted(self._versions)

    def versions(self, subject: str) -> list[SchemaVersion]:
        """Return a subject's versions, oldest first; an empty list where it is unknown."""
        return list(self._versions.get(subject, ()))

    def find(self, subject: str, schema: str) -> SchemaVersion | None:
        """Return the newest version of a subject with this schema, which any library may print.

        Raises:
            ValueError: the text is not a schema.

        """
        wanted = resolve(schema)
        versions = reversed(self.versions(subject))
        return next((known for known in versions if _resolved(known.schema) == wanted), None)

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

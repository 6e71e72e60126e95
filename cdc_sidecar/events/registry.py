"""Where schemas get their ids: the protocol of a schema registry, and the built-in one."""

from typing import Protocol

from cdc_sidecar.events.pending import PendingRecords
from cdc_sidecar.events.schema import SchemaId, schema_id
from cdc_sidecar.events.schema_records import SchemaVersion, encode_version
from cdc_sidecar.events.subjects import Subjects


class Registry(Protocol):
    """Gives ids to schemas; the same schema always gets the same id.

    `register` may ask the network and may take long. It can be called again after it raised.
    """

    def register(self, subject: str, schema: str) -> SchemaId:
        """Return the id of a schema in canonical JSON, as a version of `subject`.

        Raises:
            SidecarError: the registry refuses the schema, or cannot be asked.

        """


class BuiltInRegistry:
    """The registry in the schemas topic: an id is computed from the schema's content."""

    def __init__(self, subjects: Subjects, pending: PendingRecords) -> None:
        self._subjects = subjects
        self._pending = pending

    def register(self, subject: str, schema: str) -> SchemaId:
        """Return the id of a schema; the record of a new version waits to be drained.

        Raises:
            SchemaIdClash: another schema has this id.

        """
        identifier = schema_id(schema)
        versions = self._subjects.versions(subject)
        if all(version.schema != schema for version in versions):
            added = SchemaVersion(subject, len(versions) + 1, identifier, schema)
            self._subjects.add(added)
            self._pending.add(encode_version(added))
        return identifier

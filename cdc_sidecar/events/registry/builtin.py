"""The built-in registry: ids are computed from content, and versions are kept in Kafka."""

from cdc_sidecar.events.registry.pending import PendingRecords
from cdc_sidecar.events.registry.records import SchemaVersion, encode_version
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.events.schema import SchemaId, schema_id


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

"""The committed schemas of a service by their ids, for readers of events."""

from cdc_sidecar.config.model import Config
from cdc_sidecar.events.names import schemas_topic
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.read import committed_reader, high_watermark, read_records


class CommittedSchemas:
    """Finds schemas for a reader of events; it reads the topic again when an id is new."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._subjects = Subjects()

    def find(self, identifier: int) -> str | None:
        """Return the canonical JSON of a schema, or None where the service has none with this id.

        Raises:
            KafkaUnavailable: the topic cannot be read.
            SchemasUnreadable: a record of another version, or malformed.

        """
        if self._subjects.schema(identifier) is None:
            self._load()
        return self._subjects.schema(identifier)

    def _load(self) -> None:
        """Read up to the high watermark: a commit is seen in one partition before another."""
        reader = committed_reader(self._config.kafka)
        try:
            topic = schemas_topic(self._config.service.name)
            high = high_watermark(admin_client(self._config.kafka), topic)
            for key, value in read_records(reader, topic, 0, high):
                self._subjects.load(key, value)
        finally:
            reader.close()

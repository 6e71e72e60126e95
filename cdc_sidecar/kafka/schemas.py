"""Reading the schemas topic: its committed records, and each schema by its id."""

from collections.abc import Iterator

from cdc_sidecar.config.model import Config
from cdc_sidecar.events.names import schemas_topic
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.read import committed_reader, high_watermark, last_of_each_key, read_records
from cdc_sidecar.kafka.topics import TopicCatalog


def read_schemas(config: Config) -> Iterator[tuple[bytes, bytes]]:
    """Yield the last committed record of each key, up to the high watermark.

    A commit becomes visible on one partition before another: an event may come before its schema.

    Raises:
        KafkaUnavailable: the topic cannot be read.

    """
    topic, reader = schemas_topic(config.service.name), committed_reader(config.kafka)
    try:
        high = high_watermark(admin_client(config.kafka), topic)
        yield from last_of_each_key(read_records(reader, topic, 0, high))
    finally:
        reader.close()


def read_log(config: Config) -> SchemaLog:
    """Return the content of the schemas topic; empty if there is no topic.

    Raises:
        KafkaUnavailable: it cannot be read.
        SchemasUnreadable: it holds a record that this version does not understand.

    """
    log = SchemaLog()
    topic = schemas_topic(config.service.name)
    if topic in TopicCatalog(admin_client(config.kafka), config.topics).describe([topic]):
        for key, value in read_schemas(config):
            log.load(key, value)
    return log


class SchemaWatch:
    """Loads committed schemas into a model that is served, each time that there may be new ones.

    Used by a standby, so it does not wait for transactions that the other sidecar has open.
    """

    def __init__(self, config: Config, served: Subjects) -> None:
        self._config = config
        self._served = served
        self._topic = schemas_topic(config.service.name)
        self._admin = admin_client(config.kafka)
        self._high = 0

    def refresh(self) -> None:
        """Load what is new.

        Raises:
            KafkaUnavailable: the topic cannot be read.
            SchemasUnreadable: it holds a record that this version does not understand.

        """
        catalog = TopicCatalog(self._admin, self._config.topics)
        if self._topic in catalog.describe([self._topic]):
            high = high_watermark(self._admin, self._topic)
            if high != self._high:
                self._load()
                self._high = high
        self._served.complete = True

    def _load(self) -> None:
        reader = committed_reader(self._config.kafka)
        try:
            for key, value in last_of_each_key(read_records(reader, self._topic, 0, None)):
                self._served.load(key, value)
        finally:
            reader.close()


class CommittedSchemas:
    """Finds schemas for a reader of events; it reads the topic again when an id is new."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._subjects = Subjects()

    def find(self, identifier: int) -> str | None:
        """Return the canonical JSON of a schema, or None if the service has none with this id.

        Raises:
            KafkaUnavailable: the topic cannot be read.
            SchemasUnreadable: a record of another version, or malformed.

        """
        if self._subjects.schema(identifier) is None:
            for key, value in read_schemas(self._config):
                self._subjects.load(key, value)
        return self._subjects.schema(identifier)

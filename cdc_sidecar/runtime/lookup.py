"""What the replication thread must ask others: catalog facts and topics, fetched beside it."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.kafka.topics import Topics
from cdc_sidecar.postgres.catalog import read_layout_facts
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.sentinel import Sentinel
from cdc_sidecar.postgres.types import LayoutFacts

PATIENCE: Final = 1.5  # seconds; a server that is shutting down waits for us, and lets nobody in


class Lookup:
    """Two helper threads: while one waits for the brokers, Postgres can still be asked."""

    def __init__(self, database: Database, topics: Topics) -> None:
        self._database = database
        self._topics = topics
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="lookup")

    def facts(self, relation: Relation) -> "Future[LayoutFacts]":
        """Ask what the catalog says now about a relation layout."""
        return self._executor.submit(self._read_facts, relation)

    def topic(self, name: str) -> "Future[TopicFacts]":
        """See that a topic exists, and ask for its limits."""
        return self._executor.submit(self._ensure, name)

    def renew(self, sentinel: Sentinel) -> "Future[bool]":
        """Ask whether the server lets anybody in."""
        return self._executor.submit(sentinel.renew)

    def close(self) -> None:
        """Let the helper threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _read_facts(self, relation: Relation) -> LayoutFacts:
        with self._database.connection(timeout=PATIENCE) as connection:
            return read_layout_facts(connection, relation)

    def _ensure(self, name: str) -> TopicFacts:
        self._topics.ensure([name])
        facts = self._topics.facts(name)
        assert facts is not None  # noqa: S101 - it was just ensured
        return facts

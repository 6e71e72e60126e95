"""Look-ups that the stream needs while it runs: facts of the catalog, and topics.

Helper threads make them, so that standby status is still sent while the stream waits.
"""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from cdc_sidecar.errors import PostgresUnavailable
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.postgres.catalog import read_later_columns, read_layout_facts
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.partitions import read_lineage
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts, Lineage
from cdc_sidecar.runtime.ports import ServerWatch
from cdc_sidecar.runtime.upkeep import Upkeep

T = TypeVar("T")

PATIENCE: Final = 1.5
"""Seconds to wait for a connection: a server that shuts down accepts none, and waits for us."""
ANSWER_WITHIN: Final = 180.0
"""Seconds within which a helper thread must answer: each of its requests has a time-out, and all of
them together take less. A thread that died answers never."""
_THREADS: Final = 2
"""While one thread waits for the brokers, the other can still ask Postgres."""


class Lookup:
    """The helper threads of one session."""

    def __init__(self, database: Database, topics: TopicCatalog) -> None:
        self._database = database
        self._topics = topics
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="lookup")

    def layout_facts(self, relation: Relation) -> "Future[LayoutFacts]":
        """Ask for the catalog's present facts about a relation layout."""
        return self._executor.submit(self._read_facts, relation)

    def lineage(self, oid: int) -> "Future[Lineage]":
        """Ask for the present names of a relation and of the partitions around it."""
        return self._executor.submit(self._read_lineage, oid)

    def later_columns(self, relation: Relation) -> "Future[frozenset[str]]":
        """Ask for the present columns that did not exist yet in a layout."""
        return self._executor.submit(self._read_later, relation)

    def topic_facts(self, name: str, *, parked: bool = False) -> "Future[TopicFacts]":
        """Make sure that a topic exists, and ask for its limits."""
        return self._executor.submit(self._ensure, name, parked=parked)

    def renew(self, sentinel: ServerWatch) -> "Future[bool]":
        """Ask whether the server still accepts connections."""
        return self._executor.submit(sentinel.renew)

    def close(self) -> None:
        """Let the helper threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _read_facts(self, relation: Relation) -> LayoutFacts:
        with self._database.connection(timeout=PATIENCE) as connection:
            return read_layout_facts(connection, relation)

    def _read_later(self, relation: Relation) -> frozenset[str]:
        with self._database.connection(timeout=PATIENCE) as connection:
            return read_later_columns(connection, relation)

    def _read_lineage(self, oid: int) -> Lineage:
        with self._database.connection(timeout=PATIENCE) as connection:
            return read_lineage(connection, oid)

    def _ensure(self, name: str, *, parked: bool) -> TopicFacts:
        self._topics.ensure([name], parked=parked)
        facts = self._topics.facts(name)
        assert facts is not None  # noqa: S101 - `ensure` has just described it
        return facts


class StreamCatalog:
    """Answers the assembler from what the session has examined, or else by a look-up."""

    def __init__(
        self,
        examined: Mapping[Relation, LayoutFacts],
        topics: TopicCatalog,
        lookup: Lookup,
        upkeep: Upkeep,
        stopping: threading.Event,
    ) -> None:
        """Know the layouts that the session has examined; `lookup` is used for all others."""
        self._examined = examined
        self._topics = topics
        self._lookup = lookup
        self._upkeep = upkeep
        self._stopping = stopping

    def layout_facts(self, relation: Relation) -> LayoutFacts:
        """Return the catalog's facts about a relation layout.

        Raises:
            SidecarError: Postgres is not available, or the session is stopping.

        """
        return self._examined.get(relation) or self._await(self._lookup.layout_facts(relation))

    def lineage(self, oid: int) -> Lineage:
        """Return the present names of a relation and of the partitions around it.

        Raises:
            SidecarError: Postgres is not available, or the session is stopping.

        """
        return self._await(self._lookup.lineage(oid))

    def later_columns(self, relation: Relation) -> frozenset[str]:
        """Return the present columns of a table that did not exist yet in a layout of it.

        Raises:
            SidecarError: Postgres is not available, or the session is stopping.

        """
        return self._await(self._lookup.later_columns(relation))

    def topic_facts(self, name: str, *, parked: bool = False) -> TopicFacts:
        """Return the limits of a topic, which is created if it is missing.

        Raises:
            SidecarError: Kafka is not available, or the session is stopping.

        """
        known = self._topics.facts(name)
        return known or self._await(self._lookup.topic_facts(name, parked=parked))

    def _await(self, answer: "Future[T]") -> T:
        """Wait for an answer of a helper thread while the upkeep continues."""
        done = threading.Event()
        answer.add_done_callback(lambda _answer: done.set())
        until = time.monotonic() + ANSWER_WITHIN
        while not done.wait(self._upkeep.pause):
            if self._stopping.is_set():
                raise PostgresUnavailable("stopped while a lookup was under way")
            if time.monotonic() > until:
                raise PostgresUnavailable(f"a lookup had no answer within {ANSWER_WITHIN:.0f} s")
            self._upkeep.tend()
        return answer.result()

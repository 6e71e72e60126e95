"""The topics that `tail` reads: by their own names, or by the names of tables and outboxes."""

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Sequence

from cdc_sidecar.config.model import Config
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import TopicMissing
from cdc_sidecar.events.names import table_topic, topic_part, unescape
from cdc_sidecar.kafka.event_topics import EventTopics

_TABLE_PARTS = 3
"""The parts of a table's topic: service, schema and table."""


class TopicChoice:
    """Chooses topics of one service."""

    def __init__(self, config: Config, wanted: str | None) -> None:
        """Choose by `wanted`: a topic, a table, an outbox, or a glob over tables; None is all."""
        self._config = config
        self._wanted = wanted
        self._service = topic_part(config.service.name)
        self._events = EventTopics(config)

    def choose(self, existing: Iterable[str]) -> Sequence[str]:
        """Return the topics to read, of those that exist.

        Raises:
            TopicMissing: the wanted topic does not exist.

        """
        names = sorted(existing)
        own = [name for name in names if self._is_own(name)]
        if self._wanted is None:
            return own
        found = self._find(self._wanted, names, own)
        if not found:
            raise TopicMissing(
                f"no topic of {self._wanted} exists", hint=self._hint(self._wanted, own)
            )
        return found

    def _is_own(self, name: str) -> bool:
        return name.startswith(f"{self._service}.") or self._events.may_hold(name)

    def _find(self, wanted: str, names: list[str], own: list[str]) -> list[str]:
        if wanted in names:
            return [wanted]
        outbox = [box for box in self._config.outboxes if wanted in _spellings(box)]
        if outbox:
            one = EventTopics(self._config.model_copy(update={"outboxes": tuple(outbox)}))
            return [name for name in names if one.is_of_an_outbox(name)]
        tables = dict(self._tables(own))
        exact = [topic for table, topic in tables.items() if table == wanted]
        bare = [topic for table, topic in tables.items() if table.partition(".")[2] == wanted]
        glob = [topic for table, topic in tables.items() if fnmatch.fnmatchcase(table, wanted)]
        return exact or (bare if len(bare) == 1 else []) or glob

    def _tables(self, own: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield `schema.table` and topic of each table that has a topic."""
        for topic in own:
            parts = topic.split(".")
            if len(parts) == _TABLE_PARTS and parts[0] == self._service:
                yield ".".join(map(unescape, parts[1:])), topic

    def _hint(self, wanted: str, own: list[str]) -> str:
        configured = [table.name for table in self._config.tables]
        configured += [box.name for box in self._config.outboxes]
        if wanted in configured:
            schema, _, table = wanted.partition(".")
            topic = table_topic(self._config.service.name, schema, table)
            return f"the sidecar creates {topic} at its start, and those of an outbox with events"
        known = [*own, *dict(self._tables(own)), *configured]
        close = difflib.get_close_matches(wanted, known, n=1)
        if close:
            return f"did you mean {close[0]}?"
        return f"name one of {', '.join(own)}" if own else "start the sidecar, which makes topics"


def _spellings(outbox: Outbox) -> tuple[str, str]:
    return outbox.name, outbox.name.partition(".")[2] or outbox.name

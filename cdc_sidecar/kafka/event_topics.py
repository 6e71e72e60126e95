"""Decides by name which topics of a cluster may hold events of a configuration.

Topics of tables that match a glob are therefore found without asking Postgres.
"""

import re
from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.names import (
    message_topic,
    notification_topic,
    parked_messages_topic,
    parked_topic,
    topic_part,
    transaction_topic,
    unescape,
)

_PARKED: Final = parked_topic("")
"""The end of the names of topics of parked events."""
_TABLE_PARTS = 3
"""The parts of a table's topic: service, schema and table. A dot inside a part is escaped."""


class EventTopics:
    """Recognises the topics of tables, outboxes, logical messages and transaction metadata."""

    def __init__(self, config: Config) -> None:
        service = config.service.name
        self._service = topic_part(service)
        self._capture = Capture.of(config)
        named = (message_topic, transaction_topic, notification_topic)
        self._single = tuple(name(service) for name in named)
        prefixes = [box.prefix for box in config.outboxes if box.prefix]
        self._parked_messages = {parked_messages_topic(service, prefix) for prefix in prefixes}
        self._outboxes = [_pattern(outbox.topic) for outbox in config.outboxes]

    def may_hold(self, topic: str) -> bool:
        """Return whether events of this configuration may be in a topic of this name."""
        known = topic in self._single or self.may_hold_parked(topic)
        return known or self._is_of_a_table(topic) or self.is_of_an_outbox(topic)

    def may_hold_parked(self, topic: str) -> bool:
        """Return whether parked events of this configuration may be in a topic of this name."""
        whole, parked, nothing = topic.rpartition(_PARKED)
        of_a_table = bool(parked) and not nothing and self._is_of_a_table(whole)
        return of_a_table or topic in self._parked_messages

    def is_of_an_outbox(self, topic: str) -> bool:
        """Return whether an outbox of this configuration may send to a topic of this name."""
        return any(pattern.fullmatch(topic) for pattern in self._outboxes)

    def _is_of_a_table(self, topic: str) -> bool:
        service, *parts = topic.split(".")
        if service != self._service or len(parts) + 1 != _TABLE_PARTS:
            return False
        return self._capture.captures(".".join(map(unescape, parts)))


def _pattern(template: str) -> re.Pattern[str]:
    """Return the pattern of the names that a template such as `outbox.event.{type}` produces."""
    return re.compile(re.sub(r"\\{\w+\\}", "[^.]+", re.escape(template)))

"""Counts of events and of other changes; they are added to the metrics after Kafka's commit."""

from enum import StrEnum
from typing import Final, NamedTuple


class Counted(StrEnum):
    """The kinds of counts. A StrEnum, because its members hash as fast as text on the hot path."""

    EVENTS = "events"
    OUTBOX_EVENTS = "events of an outbox"
    IGNORED = "changes that are not configured"
    UNCHANGED = "column values that the server did not send"
    SKIPPED_TRUNCATES = "truncates that are not sent"
    OUTBOX_UPDATES = "updates of outbox rows"


PUBLISHED: Final = (Counted.EVENTS, Counted.OUTBOX_EVENTS)
"""The kinds of counts that are events on Kafka."""


class Count(NamedTuple):
    """The key of one count.

    `detail` is the op of events, the type of outbox events, or the column of unchanged values.
    """

    counted: Counted
    table: str
    detail: str = ""


Counts = dict[Count, int]


def add_counts(total: Counts, more: Counts) -> None:
    """Add counts to a total."""
    for key, count in more.items():
        total[key] = total.get(key, 0) + count

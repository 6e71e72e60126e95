"""Parked events: those that cannot be handled, and the later ones of their keys, in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from cdc_sidecar_client.consumer.errors import EventError, UnknownEventType, text_of
from cdc_sidecar_client.consumer.handlers import Work
from cdc_sidecar_client.consumer.record import Record
from cdc_sidecar_client.consumer.transaction import call_handler

_PARK: Final = """\
INSERT INTO consumer_parked (consumer_group, topic, partition, record_offset, record_timestamp,
    event_id, event_type, key, value, header_names, header_values, error)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
_LIST: Final = """\
SELECT id, topic, partition, record_offset, event_id, event_type, key, error, parked_at
FROM consumer_parked WHERE consumer_group = %s ORDER BY id LIMIT %s"""
_HEADS: Final = """\
SELECT topic, partition, key, min(id) FROM consumer_parked AS parked
WHERE consumer_group = %(group)s AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s)
    OR EXISTS (SELECT FROM consumer_parked AS named WHERE named.consumer_group = %(group)s
        AND named.topic = parked.topic AND named.key = parked.key AND named.id = ANY(%(ids)s)))
GROUP BY topic, partition, key, CASE WHEN key IS NULL THEN id END ORDER BY min(id)"""
_LOCK: Final = """\
SELECT FROM consumer_offsets
WHERE consumer_group = %s AND topic = %s AND partition = %s FOR UPDATE"""
_NEXT: Final = """\
SELECT id, topic, partition, record_offset, record_timestamp, key, value, header_names,
    header_values
FROM consumer_parked WHERE consumer_group = %(group)s AND topic = %(topic)s
    AND (key = %(key)s OR %(key)s::bytea IS NULL AND id = %(head)s)
ORDER BY id LIMIT 1 FOR UPDATE"""
_DISCARD: Final = """\
DELETE FROM consumer_parked WHERE consumer_group = %s AND id = ANY(%s)"""
_FAILED: Final = "UPDATE consumer_parked SET error = %s WHERE id = %s"
BEHIND: Final = "behind a parked event of its key"

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """A parked event, as `list_parked` shows it. `key` is the key's bytes."""

    id: int
    topic: str
    partition: int
    offset: int
    event_id: str | None
    event_type: str | None
    key: bytes | None
    error: str
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Retried:
    """How many parked events were handled, and the error of each key that failed again, by id."""

    handled: int
    failed: dict[int, str]


def park(connection: Connection, group: str, work: Work, error: str) -> None:
    """Insert an event in the open transaction, which also moves the offset past it."""
    record, event = work.record, work.event
    identity = (event.id, event.type) if event else (record.header("id"), record.header("type"))
    names = [_without_nul(name) for name, _ in record.headers]
    connection.execute(
        _PARK,
        (
            *(group, record.topic, record.partition, record.offset, record.timestamp),
            *(text and _without_nul(text) for text in identity),
            *(record.key, record.value, names, [value for _, value in record.headers]),
            _without_nul(error),
        ),
    )


def list_parked(connection: Connection, group: str, limit: int = 1000) -> list[ParkedEvent]:
    """Return the oldest parked events of a group, in the order in which they were parked."""
    with connection.transaction():
        return [ParkedEvent(*row) for row in connection.execute(_LIST, (group, limit))]


def discard_parked(connection: Connection, group: str, ids: Sequence[int]) -> int:
    """Delete parked events without handling them; return their number.

    The later events of their keys stay parked until they are retried.
    """
    with connection.transaction():
        return connection.execute(_DISCARD, (group, list(ids))).rowcount


def retry_parked(
    connection: Connection,
    group: str,
    prepare: Callable[[Record], Work],
    ids: Sequence[int] | None = None,
) -> Retried:
    """Handle parked events again: all of them, or those of the keys to which `ids` belong.

    The events of a key are handled in order, each in a transaction that also deletes it, up to the
    first one that fails. Consumers of the group may run meanwhile.

    Raises:
        RegistryUnavailable: a registry does not answer.

    """
    wanted = {"group": group, "ids": None if ids is None else list(ids)}
    with connection.transaction():
        heads = connection.execute(_HEADS, wanted).fetchall()
    handled, failed = 0, {}
    for topic, partition, key, head in heads:
        one = _Key(connection, group, prepare, (topic, partition, key, head))
        while one.retry():
            handled += 1
        failed.update(one.failed)
    return Retried(handled, failed)


class _Key:
    """The parked events of one key."""

    def __init__(
        self,
        connection: Connection,
        group: str,
        prepare: Callable[[Record], Work],
        place: tuple[str, int, bytes | None, int],
    ) -> None:
        self._connection = connection
        self._group = group
        self._prepare = prepare
        self._topic, self._partition, self._key, self._head = place
        self.failed: dict[int, str] = {}

    def retry(self) -> bool:
        """Handle the oldest event; return whether one was handled."""
        identifier = None
        try:
            with self._connection.transaction():
                # The consumer waits meanwhile, so that it parks nothing behind the last event.
                self._connection.execute(_LOCK, (self._group, self._topic, self._partition))
                found = self._oldest()
                if found is None:
                    return False
                identifier, record = found
                self._handle(self._prepare(record))
                discarded = (self._group, [identifier])
                self._connection.execute(_DISCARD, discarded)
        except (EventError, UnknownEventType, psycopg.Error) as error:
            if identifier is None or self._connection.broken:
                raise
            self._note(identifier, text_of(error))
            return False
        return True

    def _oldest(self) -> tuple[int, Record] | None:
        place = {"group": self._group, "topic": self._topic, "key": self._key, "head": self._head}
        row = self._connection.execute(_NEXT, place).fetchone()
        if row is None:
            return None
        identifier, *parts, names, values = row
        headers = tuple(zip(names, values, strict=True))
        return identifier, Record(*parts, headers)  # type: ignore[call-arg]

    def _handle(self, work: Work) -> None:
        if work.error:
            raise work.error
        if work.call is None:  # it had a handler when it was parked
            raise UnknownEventType(f"no handler of type {work.record.header('type')!r}")
        call_handler(self._connection, work.call)

    def _note(self, identifier: int, error: str) -> None:
        self.failed[identifier] = error
        with self._connection.transaction():
            self._connection.execute(_FAILED, (_without_nul(error), identifier))


def _without_nul(text: str) -> str:
    """Return a text that Postgres accepts."""
    return text.replace("\0", "\\0")

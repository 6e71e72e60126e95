"""The tables of a consumer, and the offsets in one of them.

The offset of a partition is written in the transaction that holds the effects of its events. The
statement that writes it also compares it: of two members that handle the same event, the second one
waits for the first, finds another offset, and rolls back.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from cdc_sidecar_client.consumer.errors import OffsetMoved, TablesMissing

Place = tuple[str, int]
"""A topic and the number of one of its partitions."""

_SCHEMA: Final = """\
CREATE TABLE consumer_offsets (
    consumer_group text        NOT NULL,
    topic          text        NOT NULL,
    partition      int         NOT NULL,
    next_offset    bigint      NOT NULL,  -- everything below it is handled or parked
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
);

CREATE TABLE consumer_parked (
    id               bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    consumer_group   text        NOT NULL,
    topic            text        NOT NULL,
    partition        int         NOT NULL,
    record_offset    bigint      NOT NULL,
    record_timestamp bigint      NOT NULL,  -- milliseconds since 1970
    event_id         text,
    event_type       text,
    key              bytea,
    value            bytea,
    header_names     text[]      NOT NULL,
    header_values    bytea[]     NOT NULL,
    error            text        NOT NULL,
    parked_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (consumer_group, topic, partition, record_offset)
);

CREATE INDEX consumer_parked_key ON consumer_parked (consumer_group, topic, key, id);
"""
_HINT: Final = (
    "install the SQL of `python -m cdc_sidecar_client.consumer schema-sql` with a migration"
)
_LOAD: Final = """\
SELECT topic, partition, next_offset FROM consumer_offsets
WHERE consumer_group = %s AND topic = ANY(%s)"""
_ENROLL: Final = """\
INSERT INTO consumer_offsets (consumer_group, topic, partition, next_offset)
VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"""
_ADVANCE: Final = """\
UPDATE consumer_offsets SET next_offset = %(next)s, updated_at = now()
WHERE consumer_group = %(group)s AND topic = %(topic)s AND partition = %(partition)s
    AND next_offset = %(stored)s
RETURNING EXISTS (SELECT FROM consumer_parked
    WHERE consumer_group = %(group)s AND topic = %(topic)s AND key = ANY(%(keys)s))"""
_BLOCKED: Final = """\
SELECT DISTINCT key FROM consumer_parked
WHERE consumer_group = %s AND topic = %s AND key = ANY(%s)"""


def schema_sql() -> str:
    """Return the SQL that creates the tables of consumers, for a migration of their database."""
    return _SCHEMA


def load_offsets(
    connection: psycopg.Connection[Any], group: str, topics: Sequence[str]
) -> dict[Place, int]:
    """Return the offset of the next event of each partition that has one.

    Raises:
        TablesMissing: the tables do not exist.

    """
    try:
        with connection.transaction():
            rows = connection.execute(_LOAD, (group, list(topics))).fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise TablesMissing(str(error).splitlines()[0], hint=_HINT) from error
    return {(topic, partition): offset for topic, partition, offset in rows}


def enroll(
    connection: psycopg.Connection[Any], group: str, offsets: Iterable[tuple[Place, int]]
) -> None:
    """Write the first offset of partitions; one that another member has written stays."""
    with connection.transaction():
        for (topic, partition), offset in sorted(offsets):
            connection.execute(_ENROLL, (group, topic, partition, offset))


def advance(
    connection: psycopg.Connection[Any],
    group: str,
    place: Place,
    offsets: tuple[int, int],
    keys: Sequence[bytes],
) -> set[bytes]:
    """Move an offset in the open transaction from one value to another; return the parked `keys`.

    The row stays locked until the transaction ends.

    Raises:
        OffsetMoved: the table has another offset than the first of `offsets`.

    """
    stored, following = offsets
    facts = {"group": group, "topic": place[0], "partition": place[1], "keys": list(keys)}
    row = connection.execute(_ADVANCE, {**facts, "stored": stored, "next": following}).fetchone()
    if row is None:
        raise OffsetMoved(f"{place[0]} [{place[1]}]: the stored offset is not {stored} any more")
    if not row[0]:
        return set()
    # The statement above may have waited for a retry of parked events, and then saw them as they
    # were before. This one has a newer snapshot.
    rows = connection.execute(_BLOCKED, (group, place[0], list(keys))).fetchall()
    return {bytes(key) for (key,) in rows}

"""The position record: how far the source is published, and whose source it is.

One record per Kafka transaction, produced last, with the transactional id as key; the topic is
compacted. JSON, `v` first: a version that is not known halts. Documented in
`docs/reference/position.md`.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from confluent_kafka import TopicPartition

from cdc_sidecar.errors import PositionUnreadable
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, translated
from cdc_sidecar.kafka.read import Reader, read_records
from cdc_sidecar.postgres.lsn import Lsn, format_lsn, parse_lsn

RECORD_VERSION: Final = 1
MOVES_KEPT: Final = 10
_TAIL: Final = 5000  # records at the end of the topic that are looked at first


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """The source that a position belongs to (I7)."""

    system_identifier: str
    timeline: int
    database: str
    database_oid: int
    slot: str
    publication: str


@dataclass(frozen=True, slots=True)
class Move:
    """One move of the position by an operator."""

    at: int  # microseconds since 1970
    kind: str
    start: Lsn  # where the position stood
    goal: Lsn  # where it was moved to
    reason: str | None
    by: str  # user and host

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the record."""
        return {
            "at": self.at,
            "kind": self.kind,
            "from": format_lsn(self.start),
            "to": format_lsn(self.goal),
            "reason": self.reason,
            "by": self.by,
        }


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """The value of one position record; `position` None is an intent to create the slot."""

    identity: SourceIdentity
    position: Position | None
    commits: int  # Kafka transactions so far
    fingerprint: str  # of the configuration that decides what is published
    instance: str  # host and process that wrote it
    written_at: int  # microseconds since 1970
    resets: tuple[Move, ...] = ()  # an operator's last moves, oldest first

    def moved(self, position: Position, fingerprint: str, now: int) -> "PositionRecord":
        """Return the record of the next commit."""
        return replace(
            self,
            position=position,
            commits=self.commits + 1,
            fingerprint=fingerprint,
            written_at=now,
        )

    def reset(self, move: Move, identity: SourceIdentity, instance: str) -> "PositionRecord":
        """Return the record after an operator's move; a partial is forgotten."""
        moved = self.moved(Position(move.goal), self.fingerprint, move.at)
        resets = (*self.resets, move)[-MOVES_KEPT:]
        return replace(moved, identity=identity, instance=instance, resets=resets)

    def encode(self) -> bytes:
        """Return the record's JSON."""
        position = self.position
        value = {
            "v": RECORD_VERSION,
            "end": None if position is None else format_lsn(position.end_lsn),
            "partial": None if position is None else spell_partial(position.partial),
            **asdict(self.identity),
            "commits": self.commits,
            "fingerprint": self.fingerprint,
            "instance": self.instance,
            "written_at": self.written_at,
            "resets": [move.as_json() for move in self.resets],
        }
        return json.dumps(value, separators=(",", ":")).encode()


def spell_partial(partial: Partial | None) -> dict[str, Any] | None:
    """Return the place inside a split transaction as it stands in the record."""
    if partial is None:
        return None
    lsns = {"final_lsn": format_lsn(partial.final_lsn), "lsn": format_lsn(partial.lsn)}
    return {**asdict(partial), **lsns}


def decode_position(value: bytes) -> PositionRecord:
    """Decode a position record.

    Raises:
        PositionUnreadable: another version, or malformed.

    """
    try:
        record = json.loads(value)
        version = record.pop("v")
        if version != RECORD_VERSION:
            raise PositionUnreadable(
                f"version {version}", hint="run the version of the sidecar that wrote it"
            )
        end, partial = record.pop("end"), record.pop("partial")
        identity = SourceIdentity(
            **{name: record.pop(name) for name in SourceIdentity.__dataclass_fields__}
        )
        position = None if end is None else Position(parse_lsn(end), _parse_partial(partial))
        resets = tuple(_parse_move(**move) for move in record.pop("resets"))
        return PositionRecord(identity, position, resets=resets, **record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PositionUnreadable(
            f"a record of {len(value)} bytes is malformed",
            cause="something else writes to the position topic",
        ) from error


def _parse_partial(partial: dict[str, Any] | None) -> Partial | None:
    if partial is None:
        return None
    lsns: dict[str, Lsn] = {name: parse_lsn(partial[name]) for name in ("final_lsn", "lsn")}
    return Partial(**{**partial, **lsns})


def _parse_move(**move: Any) -> Move:  # noqa: ANN401 - JSON
    return Move(start=parse_lsn(move.pop("from")), goal=parse_lsn(move.pop("to")), **move)


def read_position(
    consumer: Reader, topic: str, transactional_id: str, high: int | None
) -> PositionRecord | None:
    """Return the last committed position of a transactional id, or None where there is none.

    `high` is the high watermark that must be reached; None reads to the stable end only, which may
    miss a commit that is in doubt. The end of the topic is looked at first.

    Raises:
        PositionUnreadable: the record is of another version, or malformed.
        KafkaUnavailable: the topic cannot be read.

    """
    key = transactional_id.encode()
    with translated():
        partition = TopicPartition(topic, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT, cached=False)
    for start in dict.fromkeys((max(0, (high or end) - _TAIL), 0)):
        found = None
        for record_key, value in read_records(consumer, topic, start, high):
            if record_key == key:
                found = value
        if found is not None:
            return decode_position(found)
    return None

"""The position record: how far the source is published, and the identity of the source.

One record per Kafka transaction, produced last, with the transactional id as key; the topic is
compacted. The value is JSON and begins with the version `v`; the sidecar halts at an unknown
version. The format is documented in `docs/reference/position.md`.
"""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from confluent_kafka import TopicPartition

from cdc_sidecar.errors import PositionElsewhere, PositionUnreadable
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, Asked, translated
from cdc_sidecar.kafka.hanging import OffsetRange
from cdc_sidecar.kafka.read import Reader, read_records
from cdc_sidecar.postgres.lsn import Lsn, format_lsn, parse_lsn

RECORD_VERSION: Final = 1
"""A newer version of the sidecar increases it if older versions must not use its records."""
MOVES_KEPT: Final = 10
"""Moves that a record keeps: enough for an incident, and few, as every commit writes them again."""
LAST_RUN_KEY: Final = "cdc-sidecar/last-run"
"""The key of the only record in the topic that is no position: see `cdc_sidecar.kafka.last_run`."""
_TAIL: Final = 5000
"""Records at the end of the topic that are read first. Compaction leaves at most an hour of them,
and the position of a running sidecar is always among the last."""


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
    start: Lsn  # the position before the move
    goal: Lsn  # the position after it
    reason: str | None
    by: str  # user and host
    more: Mapping[str, Any] = field(default_factory=dict)  # fields that a newer version added

    def as_json(self) -> dict[str, Any]:
        """Return the move's JSON."""
        return {
            "at": self.at,
            "kind": self.kind,
            "from": format_lsn(self.start),
            "to": format_lsn(self.goal),
            "reason": self.reason,
            "by": self.by,
            **self.more,
        }


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """The value of one position record; `position` is None for an intent to create the slot."""

    identity: SourceIdentity
    position: Position | None
    commits: int  # Kafka transactions so far
    fingerprint: str  # of the configuration that decides what is published
    instance: str  # host and process that wrote it
    written_at: int  # microseconds since 1970
    resets: tuple[Move, ...] = ()  # an operator's last moves, oldest first
    parts: Mapping[str, str] = field(default_factory=dict)  # of the configuration: their digests
    restoring: tuple[OffsetRange, ...] = ()  # committed records that a claim writes again
    more: Mapping[str, Any] = field(default_factory=dict)  # fields that a newer version added

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
        """Return the record after an operator's move; the partial position is discarded."""
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
            **({"configuration": self.parts} if self.parts else {}),
            **({"restoring": list(map(asdict, self.restoring))} if self.restoring else {}),
            **self.more,
        }
        return json.dumps(value, separators=(",", ":")).encode()


def instance() -> str:
    """Return the writer of a position record: host and process."""
    return f"{socket.gethostname()}/{os.getpid()}"


def spell_partial(partial: Partial | None) -> dict[str, Any] | None:
    """Return the JSON of the position inside a split transaction."""
    if partial is None:
        return None
    lsns = {"final_lsn": format_lsn(partial.final_lsn), "lsn": format_lsn(partial.lsn)}
    return {**asdict(partial), **lsns}


def decode_position(value: bytes, remedy: str = "") -> PositionRecord:
    """Decode a position record; `remedy` is the rest of the hint about a malformed one.

    Raises:
        PositionUnreadable: another version, or malformed.

    """
    try:
        content = json.loads(value)
        version = content.pop("v")
        if version != RECORD_VERSION:
            raise PositionUnreadable(
                f"version {version}", hint="run the version of the sidecar that wrote it"
            )
        end, partial = content.pop("end"), content.pop("partial")
        identity = SourceIdentity(**_pop_fields(content, SourceIdentity))
        position = None if end is None else Position(parse_lsn(end), _parse_partial(partial))
        resets = tuple(_parse_move(move) for move in content.pop("resets"))
        known = {name: content.pop(name) for name in _PLAIN}
        known["parts"] = dict(content.pop("configuration", {}))
        known["restoring"] = tuple(OffsetRange(**place) for place in content.pop("restoring", ()))
        return PositionRecord(identity, position, resets=resets, more=content, **known)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PositionUnreadable(
            f"a record of {len(value)} bytes is malformed",
            cause="something else writes to the position topic",
            hint=f"stop what else writes to the topic{remedy}",
        ) from error


_PLAIN: Final = ("commits", "fingerprint", "instance", "written_at")
"""The fields of a record that are numbers and texts."""


def _pop_fields(content: dict[str, Any], of: type[Any]) -> dict[str, Any]:
    """Remove the fields of a dataclass from a JSON object, and return them."""
    return {known.name: content.pop(known.name) for known in fields(of)}


def _parse_partial(partial: dict[str, Any] | None) -> Partial | None:
    """Return the partial position; fields that a newer version added are left out.

    The next commit replaces the partial position, so these fields need not be kept.
    """
    if partial is None:
        return None
    lsns: dict[str, Lsn] = {name: parse_lsn(partial[name]) for name in ("final_lsn", "lsn")}
    return Partial(**{**_pop_fields(partial, Partial), **lsns})


def _parse_move(move: dict[str, Any]) -> Move:
    start, goal = parse_lsn(move.pop("from")), parse_lsn(move.pop("to"))
    known = {name: move.pop(name) for name in ("at", "kind", "reason", "by")}
    return Move(start=start, goal=goal, more=move, **known)


_REMEDY: Final = (
    "; run kafka-topics.sh --bootstrap-server {} --delete --topic {}; this loses the position, and"
    " `cdc-sidecar run --bootstrap` starts at the LSN that was last acknowledged to Postgres"
)
"""How to continue without the records of a topic to which something else has written."""


def read_position(
    consumer: Reader, topic: str, transactional_id: str, high: int | None
) -> PositionRecord | None:
    """Return the last committed position of a transactional id, or None if the topic has none.

    `high` is the high watermark that must be reached. With None the reader stops at the stable end
    and may miss a commit that is in doubt. The last records of the topic are read first.

    Raises:
        PositionElsewhere: the topic has the position of another transactional id; a service has one
            position.
        PositionUnreadable: the record is of another version, or malformed.
        KafkaUnavailable: the topic cannot be read.

    """
    with translated(consumer, Asked("Read", f"topic {topic}")):
        partition = TopicPartition(topic, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT, cached=False)
    for start in dict.fromkeys((max(0, (high or end) - _TAIL), 0)):
        found = _read_latest(consumer, topic, start, high)
        own = found.pop(transactional_id, None)
        if others := _positions(found):
            raise _elsewhere(topic, transactional_id, others)
        if own is not None:
            return decode_position(own, _REMEDY.format(consumer.reason.servers, topic))
    return None


def read_positions(consumer: Reader, topic: str) -> dict[str, PositionRecord]:
    """Return the last committed position of every transactional id that has one in the topic.

    Raises:
        PositionUnreadable: a record is of another version, or malformed.
        KafkaUnavailable: the topic cannot be read.

    """
    return _positions(_read_latest(consumer, topic, 0, None))


def _read_latest(consumer: Reader, topic: str, start: int, high: int | None) -> dict[str, bytes]:
    """Return the last value of each transactional id from offset `start`, unless it was removed."""
    latest = {
        key.decode(errors="replace"): value
        for key, value in read_records(consumer, topic, start, high)
    }
    return {key: value for key, value in latest.items() if value and key != LAST_RUN_KEY}


def _positions(found: Mapping[str, bytes]) -> dict[str, PositionRecord]:
    return {key: decode_position(value) for key, value in found.items()}


def _elsewhere(
    topic: str, transactional_id: str, others: Mapping[str, PositionRecord]
) -> PositionElsewhere:
    spelled = (f"{key} (slot {record.identity.slot})" for key, record in sorted(others.items()))
    return PositionElsewhere(
        f"topic {topic} has the position of transactional id {', '.join(spelled)}, not of"
        f" {transactional_id}",
        cause="postgres.slot or kafka.transactional_id was changed, or this file is a copy of the"
        " configuration of another sidecar",
        hint=MOVE_SLOT_HINT,
    )


MOVE_SLOT_HINT: Final = (
    "restore the earlier value; a copy for another database needs a service.name of its own; to"
    " continue this service from another slot, run `cdc-sidecar position move-slot`, which shows"
    " what is lost or repeated; --yes moves the position"
)
"""The hint of a position that belongs to another transactional id or slot."""

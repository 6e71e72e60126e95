"""What becomes of hanging transactions: aborted ones end, and committed ones are written again.

The brokers answer no question about a transaction that has ended, but its records can be compared
with the positions. A transaction that hangs was committed if its position was acknowledged to
Postgres, or if a record that only it can have written is visible on another partition. Otherwise it
counts as aborted: then nobody has seen any of it, and the source still has its changes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from confluent_kafka import TIMESTAMP_CREATE_TIME

from cdc_sidecar.events.position import Partial
from cdc_sidecar.events.record import NOW, Headers, Record
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.hanging import OffsetRange, Partition
from cdc_sidecar.kafka.ledger import is_of_the_ledger
from cdc_sidecar.kafka.position import PositionRecord, decode_position
from cdc_sidecar.kafka.read import Message, Reader, read_places
from cdc_sidecar.postgres.lsn import Lsn

_TAIL: Final = 10
"""Offsets at the end of a partition that are searched for a record of the last commit. The end of
each transaction takes one of them."""
_COMMIT_LSN: Final = "commit_lsn"
"""The header of outbox events: the commit LSN of their source transaction, in decimal."""


class Age(Enum):
    """When a record was published, compared with a commit."""

    WITHIN = auto()  # in this commit, or in an earlier one
    LATER = auto()  # in no commit yet
    FOREIGN = auto()  # by another program, which shares the topic of an outbox


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, by its position."""

    record: PositionRecord
    topics: EventTopics

    @property
    def end(self) -> Lsn:
        """The LSN up to which everything is published."""
        return self.record.position.end_lsn if self.record.position else Lsn(0)

    def age(self, message: Message) -> Age:
        """Return when a message was published.

        An event of an outbox may have a time of its own, and has its commit LSN in a header. Where
        the LSN leaves it open, and for any other record, the time decides: that of the production,
        which precedes that of the position.
        """
        lsn, split = _commit_lsn(message), self._partial
        if lsn is None and self.topics.is_of_an_outbox(message.topic() or ""):
            return Age.FOREIGN
        # A message outside of a transaction ends where the next transaction's commit may begin.
        if lsn is None or lsn == self.end or (split and split.final_lsn == lsn):
            return Age.LATER if self.is_earlier_than(message) else Age.WITHIN
        return Age.LATER if lsn > self.end else Age.WITHIN

    def is_earlier_than(self, message: Message) -> bool:
        """Return whether the time of a message is later than that of the position."""
        _kind, milliseconds = message.timestamp()
        return milliseconds * 1000 > self.record.written_at

    @property
    def _partial(self) -> Partial | None:
        return self.record.position.partial if self.record.position else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a claim does about the hanging transactions that it has found."""

    position: PositionRecord | None  # to be written first, unless it is None
    ended: tuple[Partition, ...]  # on which an abort ends a transaction


class Judge:
    """Reads what there is to know about hanging transactions; used for one claim.

    `committed` and `uncommitted` are readers of that isolation, `position` and `key` the partition
    and the key of the position, and `last` is the last commit whose position is visible.
    """

    def __init__(
        self,
        readers: tuple[Reader, Reader],
        last: Commit | None,
        position: Partition,
        key: bytes,
    ) -> None:
        self._committed, self._uncommitted = readers
        self._last = last
        self._position = position
        self._key = key

    def judge(
        self,
        hanging: Sequence[OffsetRange],
        is_acknowledged: Callable[[Lsn], bool],
        stable_ends: Callable[[], Mapping[Partition, int]],
    ) -> Verdict:
        """Return what to do about the hanging transactions.

        `is_acknowledged` says whether a position is known to be committed, and `stable_ends`
        returns the last stable offsets of the partitions on which nothing hangs. Both are asked
        only if they matter.

        Raises:
            KafkaUnavailable: a record did not arrive in time.
            PositionUnreadable: the position is of another version, or malformed.

        """
        last, everywhere = self._last, tuple(place.partition for place in hanging)
        if last is None:
            return Verdict(None, everywhere)
        proposed = self._proposed(hanging, last)
        if proposed and not self._is_committed(proposed, last, is_acknowledged, stable_ends):
            proposed = None
        if proposed is None and last.record.restoring:  # it was interrupted, and goes on
            return Verdict(None, everywhere)
        commit = proposed or last
        others = [place for place in hanging if place.partition != self._position]
        restoring = tuple(place for place in others if self._has_part_in(commit, place))
        # To write the position once more commits one that hangs.
        ended = tuple(place.partition for place in others) if proposed else everywhere
        is_noted = proposed is not None or restoring
        return Verdict(replace(commit.record, restoring=restoring) if is_noted else None, ended)

    def _proposed(self, hanging: Sequence[OffsetRange], last: Commit) -> Commit | None:
        """Return the commit whose position hangs, if there is one."""
        places = [place for place in hanging if place.partition == self._position]
        found = [
            message.value()
            for message in read_places(self._uncommitted, places)
            if message.key() == self._key
        ]
        value = found[-1] if found else None
        return Commit(decode_position(value), last.topics) if isinstance(value, bytes) else None

    def _is_committed(
        self,
        proposed: Commit,
        last: Commit,
        is_acknowledged: Callable[[Lsn], bool],
        stable_ends: Callable[[], Mapping[Partition, int]],
    ) -> bool:
        if proposed.end > last.end and is_acknowledged(proposed.end):
            return True
        tails = {
            partition: OffsetRange(*partition, max(0, end - _TAIL), end)
            for partition, end in stable_ends().items()
            if partition != self._position
        }
        if last.record.restoring:  # then the proposed commit has only copies
            return self._shows_a_copy(last, tails)
        return self._shows_more(last, proposed, tails)

    def _shows_more(
        self, last: Commit, proposed: Commit, tails: Mapping[Partition, OffsetRange]
    ) -> bool:
        """Return whether a record is visible that only the proposed commit can have published."""
        return any(
            last.age(message) is Age.LATER
            and last.is_earlier_than(message)
            and proposed.age(message) is Age.WITHIN
            for message in read_places(self._committed, tails.values())
            if not is_of_the_ledger(message.key())
        )

    def _shows_a_copy(self, last: Commit, tails: Mapping[Partition, OffsetRange]) -> bool:
        """Return whether a record of a restoration is visible, behind the one that it copies."""
        behind = [
            replace(tails[place.partition], start=place.end)
            for place in last.record.restoring
            if place.partition in tails and tails[place.partition].end > place.end
        ]
        return any(
            last.age(message) is Age.WITHIN for message in read_places(self._committed, behind)
        )

    def _has_part_in(self, commit: Commit, place: OffsetRange) -> bool:
        """Return whether a record of a place was published in a commit."""
        return any(
            commit.age(message) is Age.WITHIN
            for message in read_places(self._uncommitted, [place])
            if not is_of_the_ledger(message.key())
        )


def records_to_restore(
    readers: tuple[Reader, Reader], record: PositionRecord, topics: EventTopics
) -> Iterator[Record]:
    """Yield copies of the records that were aborted although they were committed.

    `readers` are of committed and of uncommitted records. What the first one shows needs none.

    Raises:
        KafkaUnavailable: a record did not arrive in time.

    """
    commit, (visible, everything) = Commit(record, topics), readers
    shown = {_offset(message) for message in read_places(visible, record.restoring)}
    for message in read_places(everything, record.restoring):
        if _offset(message) not in shown and commit.age(message) is Age.WITHIN:
            yield _copy(message)


def _offset(message: Message) -> tuple[str | None, int | None, int | None]:
    return message.topic(), message.partition(), message.offset()


def _copy(message: Message) -> Record:
    kind, milliseconds = message.timestamp()
    return Record(
        message.topic() or "",
        message.value(),
        message.key(),
        message.partition() or 0,
        _headers(message) or None,
        milliseconds if kind == TIMESTAMP_CREATE_TIME else NOW,
    )


def _commit_lsn(message: Message) -> Lsn | None:
    """Return the commit LSN in a message's headers, if there is one."""
    text = dict(_headers(message)).get(_COMMIT_LSN, b"")
    return Lsn(int(text)) if text.isdigit() else None


def _headers(message: Message) -> Headers:
    headers = dict(message.headers() or ())  # our names are unique
    return [(name, text) for name, text in headers.items() if isinstance(text, bytes)]

"""What becomes of hanging transactions: aborted ones end, and committed ones are written again.

The brokers answer no question about a transaction that has ended, but its records can be compared
with the positions. A transaction that hangs was committed if its position was acknowledged to
Postgres, or if a record that only it can have written is visible on another partition. Otherwise it
counts as aborted: then nobody has seen any of it, and the source still has its changes.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from confluent_kafka import TIMESTAMP_CREATE_TIME

from cdc_sidecar.events.record import NOW, Headers, Record
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.hanging import OffsetRange, Partition
from cdc_sidecar.kafka.ledger import is_of_the_ledger
from cdc_sidecar.kafka.position import PositionRecord, Restoration, decode_position
from cdc_sidecar.kafka.read import Message, Reader, read_places
from cdc_sidecar.postgres.lsn import Lsn

_TAIL: Final = 10
"""Offsets at the end of a partition that are searched for a record of the last commit. The end of
each transaction takes one of them."""
_COMMIT_LSN: Final = "commit_lsn"
"""The header of outbox events: the commit LSN of their source transaction, in decimal."""


class Age(Enum):
    """When a record was published, compared with a commit."""

    EARLIER = auto()  # in an earlier commit, or by another program that shares the topic
    WITHIN = auto()
    LATER = auto()  # in no commit yet


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit has published: source transactions from `since` on, up to its position."""

    since: Lsn
    record: PositionRecord
    topics: EventTopics

    @property
    def end(self) -> Lsn:
        """The LSN up to which everything is published."""
        return self.record.position.end_lsn if self.record.position else Lsn(0)

    def age(self, message: Message) -> Age:
        """Return when a message was published.

        An event of an outbox may have a time of its own, and has its commit LSN in a header; what
        has none there is from another program. The time of any other record is that of its
        production, which precedes that of its position.
        """
        lsn, position = _commit_lsn(message), self.record.position
        if lsn is None and self.topics.is_of_an_outbox(message.topic() or ""):
            return Age.EARLIER
        split = position.partial if position else None
        if lsn is None or (split and split.final_lsn == lsn):
            _kind, milliseconds = message.timestamp()
            return Age.LATER if milliseconds * 1000 > self.record.written_at else Age.WITHIN
        if lsn >= self.end:
            return Age.LATER
        return Age.WITHIN if lsn >= self.since else Age.EARLIER


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a claim does about the hanging transactions that it has found."""

    position: PositionRecord | None  # to be written first, unless it is None
    ended: tuple[Partition, ...]  # on which an abort ends a transaction
    restored: tuple[Partition, ...]  # those of them whose records are then written again


class Judge:
    """Reads what there is to know about hanging transactions; used for one claim.

    `committed` and `uncommitted` are readers of that isolation.
    """

    def __init__(
        self, committed: Reader, uncommitted: Reader, last: tuple[Commit | None, Partition, bytes]
    ) -> None:
        self._committed = committed
        self._uncommitted = uncommitted
        self._last, self._partition, self._key = last

    def judge(
        self,
        hanging: Sequence[OffsetRange],
        acknowledged: Callable[[], Collection[Lsn | None]],
        stable: Callable[[], Mapping[Partition, int]],
    ) -> Verdict:
        """Return what to do about the hanging transactions.

        `acknowledged` returns positions that are known to be committed, and `stable` the last
        stable offsets of the other partitions. Both are asked only if they matter.

        Raises:
            KafkaUnavailable: a record did not arrive in time.
            PositionUnreadable: the position is of another version, or malformed.

        """
        last, everywhere = self._last, tuple(place.partition for place in hanging)
        if last is None or last.record.restoring:  # the latter was interrupted: it goes on
            return Verdict(None, everywhere, ())
        proposed = self._proposed(hanging, last)
        is_committed = proposed is not None and (
            (proposed.end > last.end and proposed.end in acknowledged())
            or self._is_visible(proposed, last, stable())
        )
        commit = proposed if proposed and is_committed else last
        ages = self._ages(commit, hanging)
        if is_committed:
            ages.pop(self._partition)  # writing the position once more commits it
        elif self._partition in ages:
            ages[self._partition] = Age.LATER
        restored = [place for place in hanging if ages.get(place.partition) is Age.WITHIN]
        record = replace(
            commit.record,
            restoring=Restoration(commit.since, tuple(restored)) if restored else None,
        )
        return Verdict(
            record if is_committed or restored else None,
            tuple(partition for partition, age in ages.items() if age is not Age.EARLIER),
            tuple(place.partition for place in restored),
        )

    def _proposed(self, hanging: Sequence[OffsetRange], last: Commit) -> Commit | None:
        """Return the commit whose position hangs, if there is one."""
        places = [place for place in hanging if place.partition == self._partition]
        found = [
            message.value()
            for message in read_places(self._uncommitted, places)
            if message.key() == self._key
        ]
        value = found[-1] if found else None
        if not isinstance(value, bytes):
            return None
        return Commit(last.end, decode_position(value), last.topics)

    def _is_visible(self, proposed: Commit, last: Commit, stable: Mapping[Partition, int]) -> bool:
        """Return whether a partition shows a record of the proposed commit."""
        tails = [
            OffsetRange(*partition, max(0, end - _TAIL), end) for partition, end in stable.items()
        ]
        return any(
            last.age(message) is Age.LATER and proposed.age(message) is Age.WITHIN
            for message in read_places(self._committed, tails)
            if not is_of_the_ledger(message.key())
        )

    def _ages(self, commit: Commit, hanging: Sequence[OffsetRange]) -> dict[Partition, Age]:
        """Return the age of each hanging transaction, judged by its first record."""
        firsts = [replace(place, end=place.start + 1) for place in hanging]
        ages = {place.partition: Age.LATER for place in hanging}
        for message in read_places(self._uncommitted, firsts):
            ages[message.topic() or "", message.partition() or 0] = commit.age(message)
        return ages


def records_to_restore(
    uncommitted: Reader, record: PositionRecord, topics: EventTopics
) -> Iterator[Record]:
    """Yield the records that were aborted although they were committed, to be written again.

    Raises:
        KafkaUnavailable: a record did not arrive in time.

    """
    restoring = record.restoring
    if restoring is None:
        return
    commit = Commit(restoring.since, record, topics)
    for message in read_places(uncommitted, restoring.places):
        if commit.age(message) is Age.WITHIN:
            yield _copy(message)


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

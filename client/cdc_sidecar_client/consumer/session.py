"""One membership in the group, from joining it to leaving it.

A session is over as soon as anything around it fails: Kafka, the database, or the agreement with
other members about an offset. The next one begins with the offsets of the database.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psycopg
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from cdc_sidecar_client.consumer import tables
from cdc_sidecar_client.consumer.errors import (
    EventError,
    Park,
    RegistryUnavailable,
    SchemaMissing,
    text_of,
)
from cdc_sidecar_client.consumer.handlers import Dispatcher, Work
from cdc_sidecar_client.consumer.kafka import check, first_offsets
from cdc_sidecar_client.consumer.lane import Lane
from cdc_sidecar_client.consumer.parked import BEHIND, park
from cdc_sidecar_client.consumer.policy import Policy
from cdc_sidecar_client.consumer.record import Record
from cdc_sidecar_client.consumer.transaction import call_handler

log = logging.getLogger("cdc_sidecar_client.consumer")

_IDLE_SECONDS: Final = 0.5  # one wait for records: a stop is noticed after it
_TURN_SECONDS: Final = 1.0  # of handlers, until Kafka hears again that this member is alive
_BACKLOG: Final = 500  # records in memory; beyond it only one more for each turn
_REGISTRY_SECONDS: Final = 2.0  # until a registry is asked again that did not answer
_REPORT_SECONDS: Final = 5.0  # between two reports of the offsets to Kafka


@dataclass(slots=True)
class Counts:
    """What a consumer has done since it was made. `failed` counts attempts."""

    handled: int = 0
    ignored: int = 0
    parked: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Membership:
    """What every session of a consumer shares."""

    group: str
    topics: Sequence[str]
    policy: Policy
    dispatcher: Dispatcher
    kafka: Callable[[], Consumer]
    connect: Callable[[], psycopg.Connection[Any]]
    counts: Counts = field(default_factory=Counts)


class Session:
    """A client of Kafka, a connection to the database, and the partitions of this member."""

    def __init__(self, member: Membership) -> None:
        self._member = member
        self._lanes: dict[tables.Place, Lane] = {}
        self._unenrolled: set[str] = set()  # topics with partitions that have no offset yet
        self._connection = member.connect()
        try:
            tables.load_offsets(self._connection, member.group, [])  # fails here if there are none
            self._kafka = member.kafka()
        except BaseException:
            self._connection.close()
            raise
        self._reported = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Handle events until `stop` is set.

        It also returns if it was given partitions without an offset in the database. It has written
        their first offsets then, and the next session handles their events.

        Raises:
            OffsetMoved, psycopg.OperationalError, KafkaException: begin a new session.
            ConsumerError: the consumer cannot go on.

        """
        try:
            self._kafka.subscribe(
                list(self._member.topics),
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._revoked,
            )
            while not stop.is_set() and not self._unenrolled:
                self._turn()
            if not stop.is_set():
                self._enroll()
            self._report(asynchronous=False)
        finally:
            self._lanes.clear()
            self._kafka.close()
            self._connection.close()

    def _turn(self) -> None:
        self._receive()
        now = time.monotonic()
        for lane in [lane for lane in self._lanes.values() if lane.is_ready(now)]:
            self._work(lane)
            self._pause(lane)
            self._lanes[lane.place] = self._lanes.pop(
                lane.place
            )  # the next turn begins with others
            if time.monotonic() > now + _TURN_SECONDS:
                break
        if now > self._reported + _REPORT_SECONDS:
            self._reported = now
            self._report(asynchronous=True)

    def _receive(self) -> None:
        now, lanes = time.monotonic(), self._lanes.values()
        waiting = [lane.due - now for lane in lanes if lane.pending]
        timeout = max(0.0, min([*waiting, _IDLE_SECONDS]))
        backlog = sum(len(lane.pending) for lane in lanes)
        for message in self._messages(timeout, _BACKLOG - backlog):
            place = (message.topic() or "", message.partition() or 0)
            if check(message) and place in self._lanes:
                self._lanes[place].pending.append(Record.of(message))

    def _messages(self, timeout: float, limit: int) -> list[Message]:
        """Wait for a message; return it with those that are there already, at most `limit`.

        `Consumer.consume` alone would wait until it has as many as it may return.
        """
        found: list[Message] = []
        message = self._kafka.poll(timeout)
        while message is not None:
            found.append(message)
            message = self._kafka.poll(0) if len(found) < limit else None
        return found

    def _work(self, lane: Lane) -> None:
        """Handle the first records of a lane in one transaction."""
        works: list[Work] = []
        try:
            works = self._gather(lane)
            self._apply(lane, works)
        except RegistryUnavailable as error:
            log.warning("registry_unavailable %s", error)
            lane.due = time.monotonic() + _REGISTRY_SECONDS
        except (EventError, psycopg.Error) as error:
            if self._connection.broken or self._connection.closed:
                raise psycopg.OperationalError(text_of(error)) from error
            self._failed(lane, works or [Work(lane.pending[0])], error)

    def _gather(self, lane: Lane) -> list[Work]:
        """Return what the next transaction does: at most `batch` events, and those to pass over."""
        works: list[Work] = []
        left = 1 if lane.singly else self._member.policy.batch
        for record in lane.pending:
            try:
                works.append(self._member.dispatcher.prepare(record))
            except (RegistryUnavailable, SchemaMissing):
                if not works:
                    raise
                break
            left -= not works[-1].is_passive
            if not left:
                break
        return works

    def _apply(self, lane: Lane, works: Sequence[Work]) -> None:
        keys = list({work.record.key for work in works if work.record.key and not work.is_passive})
        offsets = (lane.stored, works[-1].record.offset + 1)
        done = Counts()
        with self._connection.transaction():
            blocked = tables.advance(
                self._connection, self._member.group, lane.place, offsets, keys
            )
            for work in works:
                self._apply_one(work, blocked, done)
        lane.advance(works)
        self._count(done)

    def _apply_one(self, work: Work, blocked: set[bytes], done: Counts) -> None:
        key = work.record.key
        if work.is_passive:
            done.ignored += 1
        elif work.error or key in blocked:
            error = text_of(work.error) if work.error else BEHIND
            park(self._connection, self._member.group, work, error)
            log.error("event_parked %s: %s", _named(work), error)
            done.parked += 1
            if key:
                blocked.add(key)
        elif work.call:
            call_handler(self._connection, work.call)
            done.handled += 1

    def _failed(self, lane: Lane, works: Sequence[Work], error: Exception) -> None:
        """Handle a batch one by one; try a single event again later, or park it."""
        if sum(not work.is_passive for work in works) > 1:
            lane.singly = len(works)
            return
        retry, counts = self._member.policy.retry, self._member.counts
        counts.failed += 1
        if isinstance(error, Park) or lane.attempts + 1 >= retry.attempts:
            self._apply(lane, [*works[:-1], replace(works[-1], call=None, error=error)])
            return
        delay = retry.delay(lane.attempts + 1)
        lane.wait(time.monotonic() + delay)
        log.warning(
            "event_failed %s, attempt %d, next in %g s: %s",
            *(_named(works[-1]), lane.attempts, delay, text_of(error)),
            exc_info=error,
        )

    def _pause(self, lane: Lane) -> None:
        """Let Kafka send nothing for a lane that waits, and again when it does not."""
        waits = lane.due > time.monotonic()
        if waits != lane.is_paused and self._lanes.get(lane.place) is lane:
            change = self._kafka.pause if waits else self._kafka.resume
            change([TopicPartition(*lane.place)])
            lane.is_paused = waits

    def _count(self, done: Counts) -> None:
        counts = self._member.counts
        counts.handled += done.handled
        counts.ignored += done.ignored
        counts.parked += done.parked

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin at the offsets of the database; the client of Kafka calls it in `poll`.

        It must not call `list_topics`: when that returns, confluent-kafka 2.16 no longer knows that
        `poll` is running, and aborts the process at the next callback of the same `poll`.
        """
        topics = sorted({each.topic for each in partitions})
        offsets = tables.load_offsets(self._connection, self._member.group, topics)
        places = {(each.topic, each.partition) for each in partitions}
        self._unenrolled = {topic for topic, _ in places - offsets.keys()}
        if self._unenrolled:
            consumer.assign([])
            return
        for each in partitions:
            place = (each.topic, each.partition)
            self._lanes[place] = Lane(place, offsets[place])
            each.offset = offsets[place]
        consumer.assign(partitions)
        log.info("partitions_assigned %s", [f"{p.topic}/{p.partition}" for p in partitions])

    def _enroll(self) -> None:
        """Write the first offset of each partition that has none."""
        group, start = self._member.group, self._member.policy.start
        for topic in sorted(self._unenrolled):
            known = tables.load_offsets(self._connection, group, [topic])
            first = first_offsets(self._kafka, topic, known, start)
            tables.enroll(self._connection, group, first.items())

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = [(each.topic, each.partition) for each in partitions]
        left = [place for place in places if self._lanes.pop(place, None)]
        if left:  # none if they had no offset yet
            log.info("partitions_revoked %s", [f"{topic}/{number}" for topic, number in left])

    def _report(self, *, asynchronous: bool) -> None:
        """Tell Kafka the offsets, so that its tools show the lag. Nothing depends on them."""
        lanes = [lane for lane in self._lanes.values() if lane.stored != lane.reported]
        offsets = [TopicPartition(*lane.place, lane.stored) for lane in lanes]
        if not offsets:
            return
        with suppress(KafkaException):
            self._kafka.commit(offsets=offsets, asynchronous=asynchronous)  # type: ignore[call-overload]
            for lane in lanes:
                lane.reported = lane.stored


def _named(work: Work) -> str:
    record = work.record
    kind = work.event.type if work.event else record.header("type")
    return f"{kind} at {record.topic}/{record.partition}/{record.offset}"

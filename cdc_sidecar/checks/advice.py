"""Warnings: settings with which the sidecar runs, but that a person should decide about."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cdc_sidecar.checks.topics import cure_of_topics, names_of
from cdc_sidecar.config.model import Config
from cdc_sidecar.kafka.topic import Topic
from cdc_sidecar.postgres.server import NEWEST_VERSION, SourceServer
from cdc_sidecar.postgres.slot import SlotStatus
from cdc_sidecar.postgres.surroundings import Surroundings

LARGEST_CLOCK_DIFFERENCE: Final = 1.0
"""Seconds: metrics of latency compare the clock of Postgres with the sidecar's."""

_TESTED: Final = NEWEST_VERSION // 10000
_FAILOVER: Final = "docs/how-to/survive-a-failover.md"
_RELOAD: Final = "then run SELECT pg_reload_conf()"
_FAILOVER_SLOTS_SINCE: Final = 170_000  # server_version_num
_USUAL_REPLICAS: Final = 3


@dataclass(frozen=True, slots=True)
class Advice:
    """A warning: its stable name, what it is about, the fact, what follows from it, and a hint."""

    name: str
    subject: str
    fact: str
    cause: str
    hint: str

    def of(self, **words: str) -> "Advice":
        """Return the warning with the values that its fact and its hint name in braces."""
        return replace(self, fact=self.fact.format(**words), hint=self.hint.format(**words))


_NOT_TESTED: Final = Advice(
    "postgres_not_tested",
    "tested version",
    f"PostgreSQL {{release}} is newer than {_TESTED}",
    f"this release of the sidecar was tested with PostgreSQL 14 to {_TESTED}",
    "use a newer release of the sidecar, or try this one outside of production first",
)
_WITHOUT_LIMIT: Final = Advice(
    "slot_without_limit",
    "retained WAL",
    "max_slot_wal_keep_size is not set",
    "while the sidecar is down, the slot retains WAL until the server's disk is full",
    "set max_slot_wal_keep_size to what the disk can hold: ALTER SYSTEM SET"
    f" max_slot_wal_keep_size = '…GB'; {_RELOAD}",
)
_IDLE: Final = Advice(
    "idle_slot_timeout",
    "idle slots",
    "idle_replication_slot_timeout is {timeout}",
    "the server invalidates the slot when the sidecar was down for so long, and the changes of this"
    " time are lost",
    f"ALTER SYSTEM SET idle_replication_slot_timeout = 0; {_RELOAD}",
)
_NO_TIMEOUT: Final = Advice(
    "no_wal_sender_timeout",
    "dead connections",
    "wal_sender_timeout is 0",
    "if the sidecar's host disappears, the server keeps the slot busy until its TCP time-out, which"
    " may take hours, and no other sidecar can continue",
    f"ALTER SYSTEM SET wal_sender_timeout = '60s'; {_RELOAD}",
)
_CLOCKS: Final = Advice(
    "clock_difference",
    "clocks",
    "the server's clock differs from ours by {seconds} s",
    "the metrics of lag and latency are wrong by so much, and so are their alerts",
    "synchronize the clocks of both hosts by NTP",
)
_NEARLY_LOST: Final = Advice(
    "slot_nearly_lost",
    "slot limit",
    "slot {slot} retains more WAL than max_slot_wal_keep_size allows",
    "the next checkpoint of the server may remove WAL that is not published yet",
    "start the sidecar now, or raise the limit: ALTER SYSTEM SET max_slot_wal_keep_size = '…GB';"
    f" {_RELOAD}",
)
_LEFT_BEHIND: Final = Advice(
    "slot_without_failover",
    "failover",
    "slot {slot} is not copied to the standbys (their slots: {standbys})",
    "a standby that is promoted lacks the slot, and changes are lost",
    f"{{way}}: see {_FAILOVER}",
)
_NOT_AWAITED: Final = Advice(
    "standbys_not_awaited",
    "failover",
    "synchronized_standby_slots is empty",
    "changes may be published that a standby lacks; if it is promoted, the sidecar halts",
    f"ALTER SYSTEM SET synchronized_standby_slots = '{{standbys}}'; {_RELOAD}; see {_FAILOVER}",
)
_NO_FEEDBACK: Final = Advice(
    "standby_without_feedback",
    "standbys",
    "hot_standby_feedback is off on the standby of slot {standbys}",
    "a standby without it does not copy the slot",
    "on the standby: ALTER SYSTEM SET hot_standby_feedback = on; ALTER SYSTEM SET"
    f" sync_replication_slots = on; {_RELOAD}; see {_FAILOVER}",
)


def advise_on_version(server: SourceServer) -> Iterator[Advice]:
    """Yield the warning about a version that is newer than those that were tested."""
    if server.version > NEWEST_VERSION:
        yield _NOT_TESTED.of(release=server.release)


def advise_on_server(server: SourceServer, around: Surroundings) -> Iterator[Advice]:
    """Yield the warnings about the version and the settings of the server."""
    yield from advise_on_version(server)
    if server.max_slot_wal_keep_size == "-1":
        yield _WITHOUT_LIMIT
    if around.idle_slot_timeout:
        yield _IDLE.of(timeout=around.idle_slot_timeout)
    if server.wal_sender_timeout == 0:
        yield _NO_TIMEOUT
    if abs(around.clock_difference) > LARGEST_CLOCK_DIFFERENCE:
        yield _CLOCKS.of(seconds=f"{around.clock_difference:+.1f}")


def advise_on_slot(
    server: SourceServer, around: Surroundings, slot: SlotStatus | None, name: str
) -> Iterator[Advice]:
    """Yield the warnings about the slot of a name, and about what a failover does to it."""
    if slot and slot.wal_status == "unreserved":
        yield _NEARLY_LOST.of(slot=name)
    if around.standby_slots:
        yield from _on_failover(server, around, name)


def _on_failover(server: SourceServer, around: Surroundings, name: str) -> Iterator[Advice]:
    standbys = ", ".join(around.standby_slots)
    if not around.failover:
        can = server.version >= _FAILOVER_SLOTS_SINCE
        way = "set its option failover" if can else "PostgreSQL 17 and later can copy it"
        yield _LEFT_BEHIND.of(slot=name, standbys=standbys, way=way)
    elif not around.synchronized_standby_slots:
        yield _NOT_AWAITED.of(standbys=standbys)
    if around.failover and around.without_feedback:
        yield _NO_FEEDBACK.of(standbys=", ".join(around.without_feedback))


def advise_on_topics(topics: Sequence[Topic], config: Config) -> Iterator[Advice]:
    """Yield the warnings about topics, each with all topics that it is about."""
    for topic_fact in _OF_TOPICS:
        concerned = [topic for topic in topics if topic_fact.concerns(topic)]
        if concerned:
            yield topic_fact.advice(concerned, config)


@dataclass(frozen=True, slots=True)
class _TopicFact:
    """A warning about topics: which ones it concerns, and the setting that ends it, if one does."""

    name: str
    subject: str
    concerns: Callable[[Topic], bool]
    fact: str
    cause: str
    setting: tuple[str, str] | None
    hint: str = ""

    def advice(self, topics: Sequence[Topic], config: Config) -> Advice:
        """Return the warning."""
        hint = cure_of_topics(topics, *self.setting, config) if self.setting else self.hint
        return Advice(self.name, self.subject, f"{self.fact}: {names_of(topics)}", self.cause, hint)


_OF_TOPICS: Final = (
    _TopicFact(
        "one_replica",
        "replication factor",
        lambda topic: topic.replication_factor == 1,
        "one replica each",
        "if the disk of one broker is lost, so are events, or the position",
        None,
        "set replication_factor = 3 in [topics] before the topics are created; add replicas to"
        " topics that exist with kafka-reassign-partitions.sh",
    ),
    _TopicFact(
        "one_insync_replica",
        "in-sync replicas",
        lambda topic: (
            topic.replication_factor >= _USUAL_REPLICAS and topic.min_insync_replicas == 1
        ),
        "min.insync.replicas is 1",
        "a write counts when one broker has it, and is lost with this broker",
        ("min.insync.replicas", "2"),
    ),
    _TopicFact(
        "unclean_leader_election",
        "leader election",
        lambda topic: topic.unclean_leader_election,
        "unclean.leader.election.enable is true",
        "a broker that lacks records may become leader, and then committed events are lost",
        ("unclean.leader.election.enable", "false"),
    ),
)

"""The one tree of errors: each has a stable code, a disposition, the facts and the way to mend it.

Foreign errors (psycopg's, Kafka's, pydantic's) are translated into these once, where they enter,
`from` the original. The codes are public API and listed in `docs/reference/errors.md`.
"""

from enum import Enum
from typing import ClassVar


class Disposition(Enum):
    """What the daemon does about an error."""

    USAGE = "wrong usage or configuration"
    HALT = "a person must decide"
    GIVE_UP = "a restart may mend it"
    RETRY = "a new session after a back-off"

    @property
    def exit_status(self) -> int:
        """The process's exit status (contract, "Exit statuses")."""
        return {Disposition.USAGE: 2, Disposition.HALT: 3}.get(self, 4)


class SidecarError(Exception):
    """The root of the tree: a fact, where it was seen, its likely cause, and the hint.

    `fact` is lower case and ends with the value. No row value and no secret is ever put in.
    """

    code: ClassVar[str] = "CDC-000"
    title: ClassVar[str] = "error"
    disposition: ClassVar[Disposition] = Disposition.HALT

    def __init__(self, fact: str, *, where: str = "", cause: str = "", hint: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.where = where
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.code} {self.title}: {self.fact}"]
        labels = (("where", self.where), ("cause", self.cause), ("hint", self.hint))
        for label, text in labels:
            if text:
                lines.append(f"  {label + ':':<7}" + text.replace("\n", "\n         "))
        return "\n".join(lines)


class RetryError(SidecarError):
    """A trouble that may pass: the session ends and a new one begins after a back-off."""

    disposition = Disposition.RETRY


class UsageError(SidecarError):
    """Wrong usage or configuration: exit status 2."""

    disposition = Disposition.USAGE


class HaltError(SidecarError):
    """A person must decide: exit status 3. Nothing is skipped and nothing re-created."""


# --- 1xx: usage and configuration


class ConfigUnreadable(UsageError):
    """The configuration file is missing, unreadable or no TOML."""

    code = "CDC-101"
    title = "configuration cannot be read"


class ConfigInvalid(UsageError):
    """Keys or values of the configuration are wrong; every mistake is listed at once."""

    code = "CDC-102"
    title = "configuration is not valid"


class SecretUnavailable(RetryError):
    """A `{ file = … }` or `{ env = … }` could not be read when a connection was made."""

    code = "CDC-103"
    title = "secret cannot be read"


class FailpointInvalid(UsageError):
    """CDC_SIDECAR_FAILPOINTS names no failpoint, or no action."""

    code = "CDC-104"
    title = "failpoint specification is not valid"


class TablesRefused(UsageError):
    """Configured tables cannot be captured as configured; every mistake is listed at once."""

    code = "CDC-110"
    title = "tables cannot be captured as configured"


class HttpUnavailable(UsageError):
    """The address of `[http] listen` cannot be bound."""

    code = "CDC-120"
    title = "HTTP address cannot be bound"


class DemoUnavailable(UsageError):
    """The extra `demo` is not installed, or the demo's folder cannot be used."""

    code = "CDC-130"
    title = "demo cannot run"


class ServerFailed(UsageError):
    """A server of the demo, the tests or the benchmarks did not start, answer or stop."""

    code = "CDC-131"
    title = "local server failed"


# --- 2xx: Postgres


class PostgresUnavailable(RetryError):
    """Postgres cannot be reached, refused us for now, or went away."""

    code = "CDC-201"
    title = "Postgres is away"


class PostgresRefused(HaltError):
    """Postgres refuses our credentials, database or role: a retry would not help."""

    code = "CDC-202"
    title = "Postgres refuses the connection"


class SlotBusy(RetryError):
    """Another connection reads the slot (SQLSTATE 55006)."""

    code = "CDC-203"
    title = "replication slot is in use"


class SlotMissing(HaltError):
    """The slot does not exist, though a position does, or creating it was not allowed."""

    code = "CDC-204"
    title = "replication slot is missing"


class SlotLost(HaltError):
    """The server invalidated the slot: WAL that was not read is gone."""

    code = "CDC-205"
    title = "replication slot is lost"


class SlotUnfit(HaltError):
    """The slot is not a pgoutput slot of this database."""

    code = "CDC-206"
    title = "replication slot does not fit"


class PublicationMissing(HaltError):
    """The publication does not exist, or did not when the WAL was written."""

    code = "CDC-207"
    title = "publication is missing"


class PublicationIncomplete(HaltError):
    """The publication lacks a configured table, column or operation."""

    code = "CDC-208"
    title = "publication does not cover the configuration"


class PermissionMissing(HaltError):
    """The role lacks a right (SQLSTATE 42501)."""

    code = "CDC-209"
    title = "permission is missing"


class WalLevelTooLow(HaltError):
    """The server does not run with wal_level = logical."""

    code = "CDC-210"
    title = "wal_level is not logical"


class ServerUnsupported(HaltError):
    """The server's version is outside the supported range."""

    code = "CDC-211"
    title = "Postgres version is not supported"


class ProtocolViolation(HaltError):
    """A message of the replication protocol that we do not know or that contradicts another."""

    code = "CDC-220"
    title = "replication stream is not understood"


# --- 3xx: rows and schemas


class Unrepresentable(HaltError):
    """A value has no exact Avro form under the contract's table of types."""

    code = "CDC-301"
    title = "value cannot be represented"


class RecordTooLarge(HaltError):
    """An event is larger than its topic accepts."""

    code = "CDC-302"
    title = "event is too large for its topic"


class LayoutRefused(HaltError):
    """A table's layout changed to one that cannot be captured as configured."""

    code = "CDC-303"
    title = "changed table cannot be captured as configured"


class OutboxUnroutable(HaltError):
    """An outbox row has NULL where its key or type must stand, or a type that is no topic."""

    code = "CDC-304"
    title = "outbox row cannot be routed"


class TruncateRefused(HaltError):
    """A TRUNCATE arrived for a table configured with `truncate = "halt"`."""

    code = "CDC-305"
    title = "table was truncated"


class SchemaIdClash(HaltError):
    """Two different schemas have the same content id."""

    code = "CDC-306"
    title = "schema ids clash"


# --- 4xx: Kafka


class KafkaUnavailable(RetryError):
    """The brokers cannot be reached or do not answer in time."""

    code = "CDC-401"
    title = "Kafka is away"


class KafkaRefused(HaltError):
    """The brokers refuse our credentials, our ids or our settings."""

    code = "CDC-402"
    title = "Kafka refuses the client"


class KafkaSettingInvalid(UsageError):
    """librdkafka does not accept a setting of `[kafka.client]`."""

    code = "CDC-403"
    title = "Kafka client setting is not valid"


class TopicMissing(HaltError):
    """A topic does not exist and `[topics] create` is not set."""

    code = "CDC-404"
    title = "topic is missing"


class TopicUnfit(HaltError):
    """A topic exists with settings under which events or positions would be lost."""

    code = "CDC-405"
    title = "topic does not fit"


class TransactionFailed(RetryError):
    """A Kafka transaction was aborted or its outcome is unknown: the position decides."""

    code = "CDC-406"
    title = "Kafka transaction did not commit"


class ProducerFenced(RetryError):
    """Another producer with our transactional id has taken over, or the broker timed us out."""

    code = "CDC-407"
    title = "producer was fenced"


class RivalTookOver(SidecarError):
    """Another sidecar holds the lock and has fenced our producer: exit status 4."""

    code = "CDC-409"
    title = "another sidecar took over"
    disposition = Disposition.GIVE_UP


class FencedTooOften(SidecarError):
    """Our producer was fenced again and again although we hold the lock: exit status 4."""

    code = "CDC-410"
    title = "producer was fenced too often"
    disposition = Disposition.GIVE_UP


class SchemasUnreadable(HaltError):
    """The schemas topic holds something this version does not understand."""

    code = "CDC-408"
    title = "schemas topic cannot be read"


# --- 5xx: the position and the identity of the source


class PositionMissing(HaltError):
    """A slot exists but no position: a lost position topic would look the same."""

    code = "CDC-501"
    title = "slot without a position"


class PositionUnreadable(HaltError):
    """The position record is of an unknown version or malformed."""

    code = "CDC-502"
    title = "position cannot be read"


class SourceChanged(HaltError):
    """The database is not the one that the position was read from."""

    code = "CDC-503"
    title = "this is another database"


class SlotAhead(HaltError):
    """The slot was confirmed beyond the position: the changes between are gone."""

    code = "CDC-504"
    title = "slot is ahead of the position"


class WalWentBack(HaltError):
    """The server's WAL ends before the published position."""

    code = "CDC-505"
    title = "WAL went backwards"


class ConfigChangedInside(HaltError):
    """The configuration changed while a split transaction was half published."""

    code = "CDC-506"
    title = "configuration changed inside a split transaction"


class SidecarRunning(UsageError):
    """A command that needs the slot for itself was called while a sidecar lives."""

    code = "CDC-510"
    title = "a sidecar is running"


class PositionOutOfReach(UsageError):
    """The slot cannot serve changes from the position that was asked for."""

    code = "CDC-511"
    title = "the slot cannot serve this position"


# --- 9xx: ourselves


class InternalError(HaltError):
    """A state that the code holds to be impossible: an error, never a skip (I6)."""

    code = "CDC-901"
    title = "internal error"


class FailpointHit(RetryError):
    """An armed failpoint raised; never seen outside tests."""

    code = "CDC-902"
    title = "failpoint raised"


def every_error() -> tuple[type[SidecarError], ...]:
    """Return all errors that carry a code of their own, in the order of their codes."""
    found: list[type[SidecarError]] = []
    queue = list(SidecarError.__subclasses__())
    while queue:
        error = queue.pop()
        queue.extend(error.__subclasses__())
        if "code" in vars(error):
            found.append(error)
    return tuple(sorted(found, key=lambda error: error.code))

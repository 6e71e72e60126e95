"""The one tree of errors: each has a stable code, a disposition, the facts, and a hint.

Errors of psycopg, Kafka and pydantic are translated into these once, by the layer that receives
them, `from` the original. The codes are public API and are listed in `docs/reference/errors.md`.
"""

from enum import Enum
from typing import ClassVar


class Disposition(Enum):
    """What the daemon does about an error."""

    USAGE = "wrong usage or configuration"
    HALT = "a person must decide"
    GIVE_UP = "a restart may help"
    RETRY = "a new session after a back-off"

    @property
    def exit_status(self) -> int:
        """The process's exit status (contract, "Exit statuses")."""
        return {Disposition.USAGE: 2, Disposition.HALT: 3}.get(self, 4)


class SidecarError(Exception):
    """The root of the tree: a fact, where it was seen, its likely cause, and a hint.

    `fact` is lower case and ends with the value. It never contains a row value or a secret.
    `may_mend` marks a halt whose cause may end without a restart: credentials that somebody is
    replacing. The daemon retries for a while before it halts. `final` is the error with which it
    halts if a retry ends in the same way before anything was published.
    """

    code: ClassVar[str] = "CDC-000"
    title: ClassVar[str] = "error"
    disposition: ClassVar[Disposition] = Disposition.HALT
    advice: ClassVar[str] = ""  # the hint where an error has none of its own

    def __init_subclass__(cls, *, code: str = "", title: str = "") -> None:
        if code:
            cls.code, cls.title = code, title

    def __init__(self, fact: str, *, where: str = "", cause: str = "", hint: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.where = where
        self.cause = cause
        self.hint = hint or self.advice
        self.may_mend = False
        self.final: SidecarError | None = None

    @property
    def parts(self) -> dict[str, str]:
        """Its code, title, fact, place, cause and hint by name."""
        names = ("code", "title", "fact", "where", "cause", "hint")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        lines = [f"{self.code} {self.title}: {self.fact}"]
        for label, text in (("where", self.where), ("cause", self.cause), ("hint", self.hint)):
            if text:
                lines.append(f"  {label + ':':<7}" + text.replace("\n", "\n         "))
        return "\n".join(lines)


class RetryError(SidecarError):
    """The cause may pass: the session ends, and a new one begins after a back-off."""

    disposition = Disposition.RETRY
    advice = "nothing needs to be done: a running sidecar retries by itself"


class UsageError(SidecarError):
    """The usage or the configuration is wrong: exit status 2."""

    disposition = Disposition.USAGE


class HaltError(SidecarError):
    """A person must decide: exit status 3. Nothing is skipped, and nothing is created again."""


# --- 1xx: usage and configuration


class ConfigUnreadable(UsageError, code="CDC-101", title="configuration cannot be read"):
    """The configuration file is missing, cannot be read, or is not TOML."""


class ConfigInvalid(UsageError, code="CDC-102", title="configuration is not valid"):
    """The configuration has wrong keys or values; the error lists every mistake."""


class SecretUnavailable(RetryError, code="CDC-103", title="secret cannot be read"):
    """A `{ file = … }` or `{ env = … }` could not be read when a connection was opened."""


class FailpointInvalid(UsageError, code="CDC-104", title="failpoint specification is not valid"):
    """CDC_SIDECAR_FAILPOINTS names an unknown failpoint or an unknown action."""


class ConfigUnwritable(UsageError, code="CDC-105", title="configuration cannot be written"):
    """`init` was asked to write a file that exists, or that cannot be written."""


class DatabaseNeeded(UsageError, code="CDC-106", title="SQL depends on the database"):
    """`setup-sql` cannot know the tables of a glob, and was not allowed to ask the database."""


class ReloadRefused(UsageError, code="CDC-107", title="configuration needs a restart"):
    """Keys changed that a running sidecar cannot take over."""


class TablesRefused(UsageError, code="CDC-110", title="tables cannot be captured as configured"):
    """Tables cannot be captured as they are configured; the error lists every mistake."""


class HttpUnavailable(UsageError, code="CDC-120", title="HTTP address cannot be bound"):
    """The address of `[http] listen` cannot be bound."""


class DemoUnavailable(UsageError, code="CDC-130", title="demo cannot run"):
    """The extra `demo` is not installed, or the folder of the demo cannot be used."""


class ServerFailed(UsageError, code="CDC-131", title="local server failed"):
    """A server of the demo, the tests or the benchmarks did not start, answer or stop."""


# --- 2xx: Postgres


class PostgresUnavailable(RetryError, code="CDC-201", title="Postgres is not available"):
    """Postgres cannot be reached, refuses connections for now, or closed the connection."""

    advice = (
        "start the server, or correct postgres.dsn and the network; a running sidecar retries by"
        " itself"
    )


class PostgresRefused(HaltError, code="CDC-202", title="Postgres refuses the connection"):
    """Postgres refuses our credentials, database or role; a retry would not help."""


class SlotBusy(RetryError, code="CDC-203", title="replication slot is in use"):
    """Another connection reads the slot (SQLSTATE 55006)."""


class SlotMissing(HaltError, code="CDC-204", title="replication slot is missing"):
    """The slot does not exist: it was dropped, or `create_slot` is false at the first start."""


class SlotLost(HaltError, code="CDC-205", title="replication slot is lost"):
    """The server invalidated the slot and removed WAL that was not read."""


class SlotUnfit(HaltError, code="CDC-206", title="replication slot is not suitable"):
    """The slot is not a pgoutput slot of this database."""


class PublicationMissing(HaltError, code="CDC-207", title="publication is missing"):
    """The publication does not exist, or did not exist when the WAL was written."""


class PublicationIncomplete(
    HaltError, code="CDC-208", title="publication does not cover the configuration"
):
    """The publication lacks a configured table, column or operation."""


class PermissionMissing(HaltError, code="CDC-209", title="permission is missing"):
    """The role lacks a privilege (SQLSTATE 42501)."""


class WalLevelTooLow(HaltError, code="CDC-210", title="wal_level is not logical"):
    """The server does not run with wal_level = logical."""


class ServerUnsupported(HaltError, code="CDC-211", title="Postgres version is not supported"):
    """The server's version is outside the supported range."""


class PostgresBusy(RetryError, code="CDC-212", title="Postgres cannot do this now"):
    """Postgres is there, but a time-out, a lock or a lack of resources ended a query."""


class ServerLimitReached(HaltError, code="CDC-213", title="limit of the server is reached"):
    """A limit that only an operator can raise, such as max_replication_slots, is reached."""


class ServiceEndangered(HaltError, code="CDC-214", title="service would be harmed"):
    """Statements of the service fail, or would wait, because of what the sidecar needs."""


class ProtocolViolation(HaltError, code="CDC-220", title="replication stream is not understood"):
    """A message of the replication protocol is unknown or contradicts another."""

    advice = "there is no cure: report it with the log"


# --- 3xx: rows and schemas


class Unrepresentable(HaltError, code="CDC-301", title="value cannot be represented"):
    """A value has no exact form in the Avro type of its column."""


class RecordTooLarge(HaltError, code="CDC-302", title="event is too large for its topic"):
    """An event is larger than its topic accepts."""


class LayoutRefused(
    HaltError, code="CDC-303", title="changed table cannot be captured as configured"
):
    """A table changed, and its new layout cannot be captured as configured."""


class OutboxUnroutable(HaltError, code="CDC-304", title="outbox row cannot be routed"):
    """An outbox row has NULL as its key or type, or a type that makes no valid topic name."""


class TruncateRefused(HaltError, code="CDC-305", title="table was truncated"):
    """A TRUNCATE arrived for a table configured with `truncate = "halt"`."""


class SchemaIdClash(HaltError, code="CDC-306", title="two schemas have the same id"):
    """Two different schemas have the same id, which is a part of their digests."""


# --- 4xx: Kafka


class KafkaUnavailable(RetryError, code="CDC-401", title="Kafka is not available"):
    """The brokers cannot be reached or do not answer in time."""

    advice = (
        "start the brokers, or correct kafka.bootstrap_servers and the network; a running sidecar"
        " retries by itself"
    )


class KafkaRefused(HaltError, code="CDC-402", title="Kafka refuses the client"):
    """The brokers refuse our credentials, our ids or our settings."""


class KafkaSettingInvalid(UsageError, code="CDC-403", title="Kafka client setting is not valid"):
    """librdkafka does not accept a setting of `[kafka.client]`."""


class TopicMissing(HaltError, code="CDC-404", title="topic is missing"):
    """A topic does not exist and `[topics] create` is not set."""


class TopicUnfit(HaltError, code="CDC-405", title="topic is not suitable"):
    """A topic has settings under which events or positions would be lost."""


class TransactionFailed(RetryError, code="CDC-406", title="Kafka transaction did not commit"):
    """A Kafka transaction was aborted, or its outcome is unknown; the position decides."""


class ProducerFenced(RetryError, code="CDC-407", title="producer was fenced"):
    """A producer with our transactional id took over, or our transaction timed out."""


class RivalTookOver(SidecarError, code="CDC-409", title="another sidecar took over"):
    """Another sidecar holds the lock and has fenced our producer: exit status 4."""

    disposition = Disposition.GIVE_UP


class FencedTooOften(SidecarError, code="CDC-410", title="producer was fenced too often"):
    """Our producer was fenced repeatedly although we hold the lock: exit status 4."""

    disposition = Disposition.GIVE_UP


class SchemasUnreadable(HaltError, code="CDC-408", title="schemas topic cannot be read"):
    """The schemas topic holds a record that this version does not understand."""

    advice = "run the newest version of the sidecar that this service has used"


# --- 5xx: the position and the source


class PositionMissing(HaltError, code="CDC-501", title="slot has no saved position"):
    """A slot exists without a position; the position topic may have been lost."""

    advice = "restore the topic; if it is lost, call `cdc-sidecar run --bootstrap` once"


class PositionUnreadable(HaltError, code="CDC-502", title="position cannot be read"):
    """The position record has an unknown version or is malformed."""

    advice = "run the newest version of the sidecar that this service has used"


class SourceChanged(HaltError, code="CDC-503", title="source is a different database"):
    """The database is not the one that the position belongs to."""


class SlotAhead(HaltError, code="CDC-504", title="slot is ahead of the position"):
    """The slot was confirmed beyond the position, so the changes between them are lost."""


class WalWentBack(HaltError, code="CDC-505", title="WAL ends before the position"):
    """The server's WAL ends before the published position."""


class ConfigChangedInside(
    HaltError, code="CDC-506", title="configuration changed inside a split transaction"
):
    """The configuration changed while a split transaction was half published."""


class PositionElsewhere(
    HaltError, code="CDC-507", title="position belongs to another transactional id or slot"
):
    """The service has a position under another transactional id, or for another slot."""


class ChangesLeftOut(HaltError, code="CDC-508", title="changes of a table may be missing"):
    """A table was not in the publication for a while, or not with every operation."""


class SidecarRunning(UsageError, code="CDC-510", title="a sidecar is running"):
    """A command that needs the slot was called while a sidecar runs."""


class PositionOutOfReach(UsageError, code="CDC-511", title="slot cannot serve this position"):
    """The slot cannot serve changes from the requested position."""


class SnapshotRefused(UsageError, code="CDC-512", title="snapshot request is refused"):
    """A request about snapshots names no captured table, or nobody could take it."""


# --- 9xx: the sidecar itself


class InternalError(HaltError, code="CDC-901", title="internal error"):
    """A state that must never occur. It is reported as an error and never skipped (I6)."""

    advice = "there is no cure: report it with the log"


class FailpointHit(RetryError, code="CDC-902", title="failpoint raised"):
    """An armed failpoint raised this error; only tests arm failpoints."""

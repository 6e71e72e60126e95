"""The configuration as frozen values: every key with its type and its default.

A key has a default only if every user is safe with it. Only `cdc_sidecar.config.load` creates a
`Config`, from a file. The reference for operators is `docs/reference/configuration.md`.
"""

import fnmatch
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from cdc_sidecar.config.fields import ColumnEntry, OnError, TableName, not_empty
from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.config.process import Http, Log, Shutdown
from cdc_sidecar.config.secret import SecretString
from cdc_sidecar.config.section import Section
from cdc_sidecar.config.tracing import Tracing
from cdc_sidecar.config.units import Duration, Size

_SLOT = re.compile(r"[a-z0-9_]{1,63}")
"""The characters that Postgres allows in a slot's name, and its NAMEDATALEN - 1."""
_SERVICE = re.compile(r"[a-zA-Z0-9_-]{1,100}")
"""The first part of a topic's name, which has at most 249 characters: the table needs the rest."""

OWNED_CLIENT_SETTINGS = frozenset({
    "acks", "auto.offset.reset", "batch.size", "bootstrap.servers", "enable.auto.commit",
    "enable.auto.offset.store", "enable.idempotence", "enable.partition.eof", "group.id",
    "isolation.level", "max.in.flight", "max.in.flight.requests.per.connection",
    "message.max.bytes", "metadata.broker.list", "partitioner", "queue.buffering.max.kbytes",
    "queue.buffering.max.messages", "request.required.acks", "transaction.timeout.ms",
    "transactional.id",
})  # fmt: skip
"""librdkafka settings that exactly once depends on; the sidecar sets them."""

_SPLIT_SHARE = 0.8
"""The share of `transaction_timeout` after which a source transaction is split by default. The rest
is left for the commit of the part.
"""


def _named(pattern: re.Pattern[str], form: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            message = f"must be {form}"
            raise ValueError(message)
        return text

    return AfterValidator(check)


class Service(Section):
    """The service: its name is the first part of every topic and namespace."""

    name: Annotated[str, _named(_SERVICE, "1 to 100 letters, digits, _ or -")]


class Postgres(Section):
    """The source database, its slot and its publication."""

    dsn: SecretString
    slot: Annotated[str, _named(_SLOT, "1 to 63 lower-case letters, digits or _")]
    publication: Annotated[str, Field(min_length=1, max_length=63)]  # NAMEDATALEN - 1
    password: SecretString | None = None
    create_slot: bool = False
    ignored_tables: Annotated[tuple[TableName, ...], Field(strict=False)] = ()


class Kafka(Section):
    """The brokers, and librdkafka settings that the sidecar does not set."""

    bootstrap_servers: Annotated[str, Field(min_length=1)]
    # at most as long as a topic's name; Kafka has no limit of its own
    transactional_id: Annotated[str, Field(min_length=1, max_length=249)] | None = None
    client: dict[str, SecretString] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _owned(self) -> "Kafka":
        owned = sorted(OWNED_CLIENT_SETTINGS & self.client.keys())
        if owned:
            message = f"the sidecar sets {', '.join(owned)}; remove it from [kafka.client]"
            raise ValueError(message)
        return self


class TopicSettings(Section):
    """Whether missing topics are created, and with which settings."""

    create: bool = False
    partitions: Annotated[int, Field(ge=1)] | None = None
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    config: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> "TopicSettings":
        if self.create and (self.partitions is None or self.replication_factor is None):
            message = "create = true requires partitions and replication_factor"
            raise ValueError(message)
        return self


class Publish(Section):
    """When a Kafka transaction is committed, and how much may wait in memory."""

    # a commit takes 3 to 5 ms; a pause of 2 ms between commits lowers the load
    max_delay: Duration = 0.002
    # tens of thousands of small events, so the cost of a commit for each event is small
    max_batch_bytes: Annotated[Size, Field(ge=1)] = 16_000_000
    # below the broker's maximum, which is 15 minutes by default
    transaction_timeout: Annotated[Duration, Field(ge=1)] = 300.0
    split_after: Annotated[Duration, Field(gt=0)] | None = None
    # one Kafka transaction waits while another is published; less than 64 KiB holds no batch
    max_queue_bytes: Annotated[Size, Field(ge=65536)] = 16_000_000

    @property
    def split_seconds(self) -> float:
        """Seconds after which a source transaction is split."""
        if self.split_after is None:
            return self.transaction_timeout * _SPLIT_SHARE
        return self.split_after

    @model_validator(mode="after")
    def _in_time(self) -> "Publish":
        if self.split_seconds >= self.transaction_timeout:
            message = "split_after must be shorter than transaction_timeout"
            raise ValueError(message)
        return self


class Snapshot(Section):
    """Whether and how the rows are sent that are older than the slot."""

    mode: Literal["initial", "never"] = "initial"
    # rows and bytes that are read, and published in one Kafka transaction, at a time
    chunk_rows: Annotated[int, Field(ge=1)] = 10_000
    chunk_bytes: Annotated[Size, Field(ge=1)] = 4_000_000
    max_rows_per_second: Annotated[int, Field(ge=0)] = 0  # 0: no limit
    # no chunk is read while the stream is further behind
    max_lag: Annotated[Duration, Field(gt=0)] = 5.0
    # where commands reach the sidecar; a Unix socket's path has at most 107 bytes
    socket: Annotated[str, Field(min_length=1, max_length=107)] | None = None


class Column(Section):
    """How the field of one column differs from the column."""

    rename: Annotated[str, Field(min_length=1)] | None = None
    mask: Literal["hash"] | None = None
    as_: Annotated[Literal["text", "iso"] | None, Field(alias="as")] = None
    logical: bool = True


class Table(Section):
    """One captured table, or all tables of the publication that match a glob."""

    name: TableName
    columns: Annotated[tuple[ColumnEntry, ...], Field(strict=False), AfterValidator(not_empty)]
    key: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = None
    unkeyed: bool = False
    tombstones: bool = True
    truncate: Literal["event", "first_partition", "skip", "halt"] = "skip"
    incomplete_before: Literal["halt", "publish"] = "halt"
    on_error: OnError = "halt"
    former_names: Annotated[tuple[TableName, ...], Field(strict=False)] = ()
    exclude: Annotated[tuple[TableName, ...], Field(strict=False)] = ()
    optional: Annotated[tuple[str, ...], Field(strict=False)] = ()
    dropped: bool = False
    snapshot: bool | Literal["duplicates"] = True
    # a larger number sends the table again
    generation: Annotated[int, Field(ge=1)] = 1
    column: dict[str, Column] = Field(default_factory=dict)

    @property
    def is_glob(self) -> bool:
        """Whether the name is a glob."""
        return any(character in self.name for character in "*?[")

    def matches(self, name: str) -> bool:
        """Return whether a glob matches `schema.table` and does not exclude it."""
        excluded = any(fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude)
        return fnmatch.fnmatchcase(name, self.name) and not excluded

    @property
    def listed(self) -> tuple[tuple[str, ...], ...]:
        """The listed columns without "*", each as the names that it has had."""
        entries = (entry for entry in self.columns if entry != "*")
        return tuple((entry,) if isinstance(entry, str) else entry for entry in entries)

    def sends(self, column: str) -> bool:
        """Return whether a column is sent."""
        return "*" in self.columns or any(column in names for names in self.listed)

    @model_validator(mode="after")
    def _listed(self) -> "Table":
        names = [name for names in self.listed for name in names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"column {', '.join(twice)} is listed more than once"
            raise ValueError(message)
        stray = sorted(name for name in self.column if not self.sends(name))
        if stray:
            message = f"column {', '.join(stray)} is configured, but columns does not list it"
            raise ValueError(message)
        unknown = sorted(set(self.optional) - set(names) - self.column.keys())
        if unknown:
            message = f"column {', '.join(unknown)} is optional, but neither listed nor configured"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _of_globs(self) -> "Table":
        if self.exclude and not self.is_glob:
            message = "exclude is only for a glob; take the table itself out of the configuration"
            raise ValueError(message)
        if self.dropped and self.is_glob:
            message = "dropped is only for one table; give it a block of its own"
            raise ValueError(message)
        return self


class Messages(Section):
    """Logical messages (`pg_logical_emit_message`) that are published."""

    prefixes: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Transactions(Section):
    """Records that mark the begin and the end of each source transaction."""

    topic: bool = False


class Notifications(Section):
    """Records that tell readers what becomes of the snapshots."""

    topic: bool = False


class Config(Section):
    """The whole configuration of one sidecar."""

    service: Service
    postgres: Postgres
    kafka: Kafka
    topics: TopicSettings = TopicSettings()
    publish: Publish = Publish()
    snapshot: Snapshot = Snapshot()
    tables: Annotated[tuple[Table, ...], Field(strict=False)] = ()
    outboxes: Annotated[tuple[Outbox, ...], Field(strict=False)] = ()
    messages: Messages = Messages()
    transactions: Transactions = Transactions()
    notifications: Notifications = Notifications()
    http: Http = Http()
    log: Log = Log()
    shutdown: Shutdown = Shutdown()
    tracing: Tracing = Tracing()
    _referenced: frozenset[tuple[str, ...]] = PrivateAttr(default=frozenset())

    @property
    def referenced(self) -> frozenset[tuple[str, ...]]:
        """The paths of the strings that were read from a file or a variable at the start."""
        return self._referenced

    def with_references(self, paths: Iterable[tuple[str, ...]]) -> Self:
        """Note which strings were read from a file or a variable; return the configuration."""
        self._referenced = frozenset(paths)
        return self

    @property
    def transactional_id(self) -> str:
        """The configured transactional id, or `cdc.<service>.<slot>`."""
        return self.kafka.transactional_id or f"cdc.{self.service.name}.{self.postgres.slot}"

    @property
    def outbox_tables(self) -> list[str]:
        """The tables of the outboxes that have one which was not dropped."""
        return [box.table for box in self.outboxes if box.table and not box.dropped]

    @property
    def control_socket(self) -> Path:
        """The configured socket, or one in the folder for temporary files."""
        if self.snapshot.socket:
            return Path(self.snapshot.socket)
        try:
            folder = tempfile.gettempdir()
        except FileNotFoundError:  # nothing can be written anywhere
            folder = "/tmp"  # noqa: S108 - the attempt to make the socket says why it fails
        return Path(folder) / f"cdc-sidecar-{self.service.name}.sock"

    @model_validator(mode="after")
    def _something_to_do(self) -> "Config":
        if not (self.tables or self.outboxes or self.messages.prefixes):
            message = "nothing to capture; add [[tables]], [[outboxes]] or [messages]"
            raise ValueError(message)
        names = [table.name for table in self.tables] + [box.name for box in self.outboxes]
        names += [prefix for prefix in self.messages.prefixes if prefix in names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"{', '.join(twice)} is configured more than once"
            raise ValueError(message)
        return self

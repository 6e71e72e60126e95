"""The text of a commented configuration, as `init` writes it."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cdc_sidecar.operations.proposal import ProposedTable

_WIDTH: Final = 100
"""Columns of a line; a list of columns that does not fit has one column a line."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML allows without quotes."""

_CONFIG: Final = """\
# The configuration of cdc-sidecar, written by `cdc-sidecar init`. Lines without "#" are in force.
# A line with "#" directly before a key shows an optional key. config.example.toml and
# docs/reference/configuration.md explain every key.

[service]
# The first part of topic names. Choose it for good: another name is another set of topics.
name = {service}

[postgres]
# A libpq connection string. `cdc-sidecar setup-sql` prints the SQL that creates the role.
dsn = {dsn}
# Without one of these lines, libpq looks for the password in PGPASSWORD and ~/.pgpass.
#password = {{ env = "CDC_PASSWORD" }}
#password = {{ file = "/run/secrets/postgres" }}
slot = {slot}
publication = {slot}
# The sidecar creates the slot at its first start.
create_slot = true

[kafka]
bootstrap_servers = {brokers}

# Any librdkafka setting, for instance for SASL over TLS (docs/how-to/secure-kafka.md).
[kafka.client]
#"security.protocol" = "SASL_SSL"
#"sasl.mechanism" = "SCRAM-SHA-512"
#"sasl.username" = {service}
#"sasl.password" = {{ env = "KAFKA_PASSWORD" }}

[topics]
# The sidecar creates missing topics. In production use replication_factor = 3 and the
# line below it.
create = true
partitions = 3
replication_factor = 1
#config = {{ "min.insync.replicas" = "2" }}

[http]
# Metrics, health, status and schemas. There is no authentication: 0.0.0.0 lets others in.
listen = "127.0.0.1:9464"

# --- What is sent. Remove the columns and the tables that consumers must not see.
#     columns = ["*"] sends every column, also those that are added later.

{tables}"""

EXAMPLE_TABLE: Final = """\
[[tables]]
name = "public.orders"
columns = ["*"]
"""

_NOTHING: Final = """\
# The database has no table that can be captured. Add one:
#[[tables]]
#name = "public.orders"
#columns = ["*"]
"""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of the keys above the tables."""

    service: str
    dsn: str
    slot: str
    brokers: str


def render_config(values: Values, tables: str) -> str:
    """Return the text of a configuration that captures `tables`, which is TOML."""
    return _CONFIG.format(
        service=_text(values.service),
        dsn=_text(values.dsn),
        slot=_text(values.slot),
        brokers=_text(values.brokers),
        tables=tables,
    )


def render_tables(tables: Iterable[ProposedTable]) -> str:
    """Return the blocks of the tables; one that cannot be captured yet is a comment."""
    return "\n".join(_block(table) for table in tables) or _NOTHING


def _block(table: ProposedTable) -> str:
    lines = [f"# {_plain(note)}" for note in (*_key_note(table), *table.notes)]
    reasons = [f"# Not captured yet: {_plain(reason)}" for reason in table.obstacles]
    entry = _outbox(table) if table.is_outbox else list(_table(table))
    mark = "#" if table.obstacles else ""
    return "\n".join([*lines, *reasons, *(f"{mark}{line}" for line in entry)]) + "\n"


def _key_note(table: ProposedTable) -> list[str]:
    if table.is_outbox:
        return ["an outbox: an inserted row becomes an event on outbox.event.<aggregatetype>"]
    return [f"key: {', '.join(table.key)}"] if table.key else []


def _outbox(table: ProposedTable) -> list[str]:
    return ["[[outboxes]]", f"table = {_text(table.name)}"]


def _table(table: ProposedTable) -> Iterator[str]:
    yield "[[tables]]"
    yield f"name = {_text(table.name)}"
    yield from _columns(table.columns)
    for column in table.as_text:
        key = column if _BARE.fullmatch(column) else _text(column)
        yield f"[tables.column.{key}]"
        yield 'as = "text"  # its type has no form of its own in this version'


def _columns(names: Sequence[str]) -> list[str]:
    line = f"columns = [{', '.join(map(_text, names))}]"
    if len(line) <= _WIDTH:
        return [line]
    return ["columns = [", *(f"    {_text(name)}," for name in names), "]"]


def _text(value: str) -> str:
    """Return a text as TOML's basic string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    """Return a text that stays on the line of its comment."""
    return "".join(character if character.isprintable() else "�" for character in text)

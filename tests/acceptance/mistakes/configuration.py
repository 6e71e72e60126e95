"""Mistakes in the file, in its secrets, and in the HTTP address."""

import socket

from tests.acceptance.mistakes.case import Do, Mistake, Toml, Undo
from tests.acceptance.mistakes.stage import Stage


def _delete_the_file(stage: Stage) -> None:
    stage.path.rename(stage.path.with_suffix(".away"))


def _restore_the_file(stage: Stage) -> None:
    stage.path.with_suffix(".away").rename(stage.path)


def _write_latin(stage: Stage) -> None:
    stage.path.write_bytes("# Größe\n".encode("latin-1") + stage.path.read_bytes())


def _write_utf8(stage: Stage) -> None:
    stage.path.write_text(stage.path.read_bytes().decode("latin-1"), encoding="utf-8")


def _write_secret(stage: Stage) -> None:
    (stage.servers.folder / f"{stage.name}.secret").write_text("not asked for\n")


def _take_port(stage: Stage) -> None:
    stage.held.append(socket.create_server(("127.0.0.1", stage.http)))


def _write_schema(stage: Stage, text: str) -> None:
    (stage.servers.folder / f"{stage.name}.avsc").write_text(text)


def _refused(name: str, toml: tuple[str, str], mend: Undo | Toml, code: str = "CDC-102") -> Mistake:
    return Mistake(name, code, (mend,), toml=(toml,), status=2)


_PORT = 'listen = "127.0.0.1:$http"'
_SHOP = '\n[[outboxes]]\ntable = "$s.outbox"\npayload = "avro"\n[outboxes.events.Noted]\n'

MISTAKES = (
    Mistake(
        "the file does not exist", "CDC-101",
        (Do("name the file with --config", _restore_the_file),), act=_delete_the_file, status=2,
    ),
    Mistake(
        "the file is not UTF-8", "CDC-101", (Do("must be UTF-8", _write_utf8),), act=_write_latin,
        status=2,
    ),
    _refused("a text without quotes", ('name = "$s"', "name = $s"), Undo("a text is in quotes"),
             "CDC-101"),
    _refused("a misspelt key", ("publication = ", "publicaton = "),
             Toml("publicaton", "publication")),
    _refused("a misspelt section", ("[publish]", "[publsh]"), Toml("publsh", "publish")),
    _refused("a duration without a unit", ('"30s"', "30"), Undo('such as "250ms", "30s"')),
    _refused("a missing key", ('slot = "$s"\n', ""), Undo("postgres.slot: missing")),
    _refused("a slot with a hyphen", ('slot = "$s"', 'slot = "$s-cdc"'), Undo("postgres.slot: ")),
    _refused("topics are created without partitions", ("partitions = 1\n", ""),
             Undo("requires partitions and replication_factor")),
    _refused("a table without its schema", ('name = "$s.items"', 'name = "items"'),
             Undo("must be schema.table")),
    _refused("a table that is configured twice",
             ("[[tables]]", '[[tables]]\nname = "$s.items"\ncolumns = ["id"]\n\n[[tables]]'),
             Undo("is configured more than once")),
    _refused("nothing to capture", ('[[tables]]\nname = "$s.items"\ncolumns = ["*"]\n', ""),
             Undo("add [[tables]], [[outboxes]] or [messages]")),
    _refused("a client setting on which exactly-once depends",
             ("[topics]", '[kafka.client]\n"acks" = "1"\n[topics]'),
             Undo("remove it from [kafka.client]")),
    Mistake(
        "the file of a secret is missing", "CDC-102",
        (Do("$s.secret", _write_secret),), status=2,
        toml=(("[kafka]", 'password = { file = "$folder/$s.secret" }\n[kafka]'),),
    ),
    _refused("the variable of a secret is missing",
             ("[kafka]", 'password = { env = "NO_SUCH_VARIABLE" }\n[kafka]'),
             Undo("NO_SUCH_VARIABLE")),
    _refused("an address without a port", (_PORT, 'listen = "127.0.0.1"'),
             Undo("must be host:port")),
    Mistake(
        "the HTTP port is in use", "CDC-120",
        (Toml(_PORT, 'listen = "127.0.0.1:0"', 'set listen = "127.0.0.1:0" in [http]'),),
        act=_take_port,
    ),
    Mistake(
        "the HTTP address is of another host", "CDC-120",
        (Toml("192.0.2.1", "0.0.0.0", 'listen = "0.0.0.0:$http"'),),  # noqa: S104 - the hint
        toml=((_PORT, 'listen = "192.0.2.1:$http"'),),
    ),
    Mistake(
        "the schema of an event is missing", "CDC-102", (Undo("$s.avsc"),), status=2,
        more=_SHOP + 'schema = "$s.avsc"\n',
    ),
    Mistake(
        "the schema of an event is no Avro", "CDC-102", (Undo("events.Noted.schema"),), status=2,
        more=_SHOP + 'schema = "$s.avsc"\n',
        act=lambda stage: _write_schema(stage, '{"type": "recrod"}'),
    ),
)  # fmt: skip

"""The columns of an outbox table: where they are, and the mistakes in them."""

from typing import Final

from cdc_sidecar.config.outbox import OPTIONAL, Outbox
from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.sql_names import similar
from cdc_sidecar.postgres.types import Builtin, LayoutFacts, TypeFacts


def find_columns(relation: Relation, config: Outbox) -> dict[str, int]:
    """Return the place of each outbox column that the relation has, by its role."""
    places = {column.name: place for place, column in enumerate(relation.columns)}
    wanted = config.wanted.items()
    return {role: places[name] for role, names in wanted for name in names if name in places}


def outbox_mistakes(relation: Relation, facts: LayoutFacts, config: Outbox) -> list[str]:
    """Return the mistakes that keep this relation from being the configured outbox."""
    places = find_columns(relation, config)
    there = {column.name for column in relation.columns}
    mistakes = []
    for role, names in config.wanted.items():
        found = [name for name in names if name in there]
        if len(found) > 1:
            mistakes.append(f"the outbox has each of the columns {' and '.join(found)} ({role})")
        elif not found and (role not in OPTIONAL or role in config.placeholders):
            mistakes.append(
                f"outbox column {' or '.join(names)} ({role}) does not exist or is not published"
                + _renamed(names, relation, config, role)
            )
    if "payload" in places:
        mistakes += _payload_mistakes(
            relation.columns[places["payload"]].name, facts.types[places["payload"]], config
        )
    return [f"{config.table}: {mistake}" for mistake in mistakes]


def _renamed(names: tuple[str, ...], relation: Relation, config: Outbox, role: str) -> str:
    """Return which column may be meant: one that has no role, as after a renaming."""
    if role.startswith("topic "):
        there = ", ".join(column.name for column in relation.columns)
        return f": name one of the columns {there} in the braces of topic"
    known = {name for entry in config.wanted.values() for name in entry}
    others = [column.name for column in relation.columns if column.name not in known]
    if not others:
        return ""
    other = similar(names[0], others) or others[0]
    entry = ", ".join(f'"{name}"' for name in (*names, other))
    section, key = _PLACES.get(role.partition(" ")[0], ("columns", role))
    return (
        f"; without a role: {', '.join(others)} (a column that was renamed has both names:"
        f" [outboxes.{section}] {key or role.partition(' ')[2]} = [{entry}])"
    )


_PLACES: Final = {"header": ("headers", ""), "field": ("envelope", "")}
"""The block of the configuration that names the columns of a role, if it is not `columns`."""


def _payload_mistakes(column: str, facts: TypeFacts | None, config: Outbox) -> list[str]:
    """Return why a payload cannot be sent; `payload_as` decides where its type does not."""
    if facts is None:
        known = f"type of payload column {column} no longer exists"
        cure = 'set payload_as = "text", or "bytes" if it was a domain over bytea'
        return [] if config.payload_as else [f"{known}: {cure}"]
    if config.payload == "avro":
        return _mistaken_avro(column, _root(facts), config)
    if config.payload_as == "bytes" and _root(facts) != Builtin.BYTEA.value:
        return [f'payload column {column} must be bytea, because of payload_as = "bytes"']
    if config.payload_as or _root(facts) in _PAYLOADS:
        return []
    cure = 'or set payload_as = "text", which sends what Postgres prints'
    return [f"payload column {column} must be text, json, jsonb or bytea; {cure}"]


def _mistaken_avro(column: str, root: int, config: Outbox) -> list[str]:
    """Return why a payload cannot be sent as Avro; `root` is the oid of its type."""
    if root not in _PAYLOADS:
        return [f"payload column {column} must be text, json, jsonb, or bytea, which is framed"]
    if root != Builtin.BYTEA.value and not config.events:
        return [f'payload column {column} must be bytea, because of payload_as = "bytes"']
    if root == Builtin.BYTEA.value and config.envelope:
        return [f"payload column {column} is bytea, which has no room for an envelope"]
    return []


def _root(facts: TypeFacts) -> int:
    return _root(facts.base) if facts.base else facts.oid


_PAYLOADS = frozenset(
    kind.value
    for kind in (Builtin.TEXT, Builtin.VARCHAR, Builtin.JSON, Builtin.JSONB, Builtin.BYTEA)
)


def is_binary(config: Outbox, facts: TypeFacts | None) -> bool:
    """Return whether the payload is bytes, which Postgres prints in hex."""
    if config.payload_as is not None:
        return config.payload_as == "bytes"
    return facts is not None and _root(facts) == Builtin.BYTEA.value

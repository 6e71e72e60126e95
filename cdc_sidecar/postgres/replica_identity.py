"""Statements of the service that Postgres refuses because of a publication.

An UPDATE or DELETE of a published table fails if the publication sends it and the replica identity
does not fit (`CheckCmdReplicaIdentity`, and `pub_contains_invalid_column` of Postgres's source).
This module applies the same rules to the catalog, so that a person learns of it before the service
does. It also finds the replica identity under which the statements work.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.sent import NAMED, PUBLISHED
from cdc_sidecar.postgres.sql_names import quoted, quoted_list

_COLUMN_LISTS: Final = 150000
"""`server_version_num` since which a publication can have column lists and row filters."""
_GENERATED: Final = 180000
"""`server_version_num` since which a replica identity must not have unpublished columns."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A replica identity that a table has or could have; `columns` are those of its index."""

    kind: ReplicaIdentity
    columns: frozenset[str] = frozenset()
    index: str = ""

    @property
    def clause(self) -> str:
        """The end of `ALTER TABLE … REPLICA IDENTITY …`."""
        using = self.kind is ReplicaIdentity.INDEX
        return f"USING INDEX {quoted(self.index)}" if using else self.kind.name


@dataclass(frozen=True, slots=True)
class Member:
    """A table with rows that a publication sends, itself or as a part of a partitioned table."""

    publication: str
    oid: int  # of the table that the publication sends the rows as
    listed: str  # its name, as SQL
    name: str  # of the table that has the rows, as SQL
    changes: tuple[str, ...]  # of "UPDATE" and "DELETE", those that are sent
    identity: Identity
    usable: tuple[Identity, ...]  # the others that it could have, the best first
    columns: tuple[str, ...]  # all that can be sent
    column_list: frozenset[str] | None  # None: every column
    filter_columns: frozenset[str]
    stored: frozenset[str]  # generated columns that are not sent
    virtual: frozenset[str]  # generated columns that cannot be sent
    has_publication: bool = True  # whether the publication exists

    @property
    def refusal(self) -> str | None:
        """Why the service cannot change rows; None if it can."""
        if not self.changes:
            return None
        if self.identity.kind is ReplicaIdentity.FULL:
            return self._refusal_of_full()
        return self._refusal_of_index()

    def _refusal_of_full(self) -> str | None:
        if self.column_list is not None:
            return "REPLICA IDENTITY FULL does not go with a column list (42P10)"
        if unsent := self.stored | self.virtual:
            return f"REPLICA IDENTITY FULL includes {_named(unsent)}, which is not sent (42P10)"
        return None

    def _refusal_of_index(self) -> str | None:
        identity = self.identity.columns
        if outside := self.filter_columns - identity:
            return f"the row filter uses {_named(outside)} outside of the replica identity (42P10)"
        sent = self.column_list
        unsent = identity & (self.stored | self.virtual) if sent is None else identity - sent
        if unsent:
            return f"{_named(unsent)} of the replica identity is not sent (42P10)"
        if not identity:
            return f"it has no replica identity ({self.identity.kind.name}; 55000)"
        return None

    @property
    def has_no_identity(self) -> bool:
        """Whether the rows cannot be told from each other when they are changed."""
        return self.identity.kind is not ReplicaIdentity.FULL and not self.identity.columns

    @property
    def cure(self) -> str:
        """The SQL after which the service can change rows: as few changes as possible."""
        altered = (_generated_sent, _listed_anew, _both) if self.has_publication else ()
        for change in (_nothing, *altered):
            for identity in (self.identity, *self.usable):
                cured = change(replace(self, identity=identity))
                if cured.refusal is None:
                    return "; ".join(_statements(self, cured))
        if not self.has_publication:
            return f"give {self.name} a primary key"
        return f"ALTER PUBLICATION {quoted(self.publication)} DROP TABLE {self.listed}"

    @property
    def unsent_columns(self) -> frozenset[str]:
        """The columns that the publication does not send, although it could."""
        listed = self.column_list
        return self.stored if listed is None else frozenset(self.columns) - listed

    def cure_of_column(self, column: str) -> str:
        """Return the SQL after which the publication sends a column too."""
        return self.cure_of_columns({column})

    def cure_of_columns(self, columns: AbstractSet[str]) -> str:
        """Return the SQL after which the publication sends some columns too."""
        if self.column_list is None:
            return "; ".join(_statements(self, _generated_sent(self)))
        wider = replace(self, column_list=self.column_list | columns)
        return "; ".join(_statements(self, wider))


def _named(columns: frozenset[str]) -> str:
    return ", ".join(sorted(columns))


def _nothing(member: Member) -> Member:
    return member


def _generated_sent(member: Member) -> Member:
    return replace(member, stored=frozenset())


def _listed_anew(member: Member) -> Member:
    """Return the member without its row filter, and with a column list that has its identity."""
    full = member.identity.kind is ReplicaIdentity.FULL
    keep = None if full or member.column_list is None else member.column_list
    wanted = member.identity.columns & set(member.columns)
    columns = None if keep is None else keep | wanted
    return replace(member, column_list=columns, filter_columns=frozenset())


def _both(member: Member) -> Member:
    return _generated_sent(_listed_anew(member))


def _statements(was: Member, now: Member) -> Iterator[str]:
    """Yield the SQL that makes one member the other."""
    publication = f"ALTER PUBLICATION {quoted(was.publication)}"
    if was.identity != now.identity:
        yield f"ALTER TABLE {was.name} REPLICA IDENTITY {now.identity.clause}"
    if was.stored != now.stored:
        yield f"{publication} SET (publish_generated_columns = stored)"
    if (was.column_list, was.filter_columns) != (now.column_list, now.filter_columns):
        sent = now.column_list
        chosen = () if sent is None else tuple(name for name in was.columns if name in sent)
        columns = f" ({quoted_list(chosen)})" if chosen else ""
        yield f"{publication} DROP TABLE {was.listed}"
        yield f"{publication} ADD TABLE {was.listed}{columns}"


_INDEXES: Final = """
SELECT coalesce(jsonb_agg(jsonb_build_object('name', x.relname, 'columns', k.names,
           'primary', i.indisprimary, 'identity', i.indisreplident, 'nulls', k.nulls)
           ORDER BY i.indisprimary DESC, x.relname), '[]')
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
CROSS JOIN LATERAL (
    SELECT jsonb_agg(a.attname) AS names, bool_or(NOT a.attnotnull) AS nulls
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
    WHERE u.place <= i.indnkeyatts) k
WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
"""
_OWN_ENTRY: Final = """
LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = o.oid
"""
_LISTED: Final = """
ARRAY(SELECT a.attname::text FROM pg_attribute a
      WHERE a.attrelid = o.oid AND a.attnum = ANY (r.prattrs::int2[])), r.prattrs IS NOT NULL,
ARRAY(SELECT a.attname::text FROM regexp_matches(r.prqual::text, ':varattno ([0-9]+)', 'g') m
      JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = m[1]::int2)
"""
_MEMBERS: Final = f"""
SELECT o.oid::bigint, s.nspname::text, o.relname::text, n.nspname::text, c.relname::text,
       coalesce(p.pubupdate, true), coalesce(p.pubdelete, true), c.relreplident::text, ({_INDEXES}),
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
             AND NOT a.attisdropped ORDER BY a.attnum),
       {{listed}},
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid
             AND a.attgenerated = 's' AND {{unsent}}),
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid
             AND a.attgenerated = 'v'),
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid
             AND a.attgenerated <> '' AND {{never_sent}}),
       p.oid IS NOT NULL
FROM {{tables}} t
LEFT JOIN pg_publication p ON p.pubname = %(publication)s
JOIN pg_namespace s ON s.nspname = t.schemaname
JOIN pg_class o ON o.relnamespace = s.oid AND o.relname = t.tablename
{{entry}}
JOIN pg_class c ON c.relkind = 'r' AND c.oid = ANY (
     CASE o.relkind WHEN 'p' THEN ARRAY(SELECT relid FROM pg_partition_tree(o.oid))
                    ELSE ARRAY[o.oid::regclass] END::oid[])
JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY 2, 3, 4, 5
"""  # noqa: S608 - constants only


def read_members(
    connection: psycopg.Connection, publication: str, names: Sequence[str] | None = None
) -> tuple[Member, ...]:
    """Return every table with rows that a publication sends.

    With `names`, the tables of these names are returned as though the publication, which then need
    not exist, sent them.
    """
    version = connection.info.server_version
    lists = version >= _COLUMN_LISTS
    query = _MEMBERS.format(
        tables=PUBLISHED if names is None else NAMED,
        entry=_OWN_ENTRY if lists else "",
        listed=_LISTED if lists else "'{}'::text[], false, '{}'::text[]",
        unsent="p.pubgencols IS DISTINCT FROM 's'" if version >= _GENERATED else "false",
        never_sent="a.attgenerated = 'v'" if version >= _GENERATED else "true",
    )
    words = {"publication": publication, "names": list(names or ())}
    rows = connection.execute(query.encode(), words)
    return tuple(_member(publication, *row) for row in rows)


def _member(publication: str, oid: int, *row: Any) -> Member:  # noqa: ANN401 - a row
    schema, table, own_schema, own_table, updates, deletes, kind, indexes, columns = row[:9]
    listed, has_list, filtered, stored, virtual, never_sent, has_publication = row[9:]
    sent = {"UPDATE": updates, "DELETE": deletes}
    return Member(
        publication,
        oid,
        f"{quoted(schema)}.{quoted(table)}",
        f"{quoted(own_schema)}.{quoted(own_table)}",
        tuple(change for change, is_sent in sent.items() if is_sent),
        _present(ReplicaIdentity(kind), indexes),
        tuple(_identities(indexes, frozenset(never_sent))),
        tuple(column for column in columns if column not in never_sent),
        frozenset(listed) if has_list else None,
        frozenset(filtered),
        frozenset(stored),
        frozenset(virtual),
        has_publication,
    )


def _identities(indexes: list[dict[str, Any]], never_sent: frozenset[str]) -> Iterator[Identity]:
    """Yield the replica identities that a table could have, the best first."""
    for index in indexes:
        columns = frozenset(index["columns"])
        if columns & never_sent:
            continue
        if index["primary"]:
            yield Identity(ReplicaIdentity.DEFAULT, columns)
        elif not index["nulls"]:
            yield Identity(ReplicaIdentity.INDEX, columns, index["name"])
    yield Identity(ReplicaIdentity.FULL)


def _present(kind: ReplicaIdentity, indexes: list[dict[str, Any]]) -> Identity:
    """Return the replica identity that a table has; without columns it is of no use."""
    of = {ReplicaIdentity.DEFAULT: "primary", ReplicaIdentity.INDEX: "identity"}.get(kind)
    for index in indexes:
        if of and index[of]:
            name = index["name"] if kind is ReplicaIdentity.INDEX else ""
            return Identity(kind, frozenset(index["columns"]), name)
    return Identity(kind)

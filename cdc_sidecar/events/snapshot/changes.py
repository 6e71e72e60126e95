"""The changes that a snapshot of Postgres may not see yet, although the stream has had them.

A commit is in the WAL, and in the stream, before other sessions see it; with synchronous
replication, long before. A row that is read after such a change is older than the stream.
"""

from dataclasses import dataclass, field
from typing import Final

from cdc_sidecar.events.snapshot.chunk import Identity
from cdc_sidecar.postgres.visibility import Visibility, is_younger

LIMIT: Final = 200_000
"""Rows that are remembered, about 50 MB. After more of them a snapshot must see all."""
_PRUNE: Final = 10_000
"""Rows after which those are forgotten that a later snapshot has seen."""

_Rows = dict[tuple[int, Identity], frozenset[int]]
"""By table and identity: the columns that no event of the transaction had (unchanged values)."""


@dataclass(slots=True)
class RecentChanges:
    """The changes of the tables that are read; used by the replication thread alone."""

    _by_xid: dict[int, _Rows] = field(default_factory=dict)
    _lsns: dict[int, int] = field(default_factory=dict)  # where each transaction was committed
    _size: int = 0
    _forgotten: int | None = None  # the youngest transaction that was forgotten unseen
    seen: Visibility | None = None
    """The newest snapshot; set by the thread that reads."""

    def add(
        self, xid: int, lsn: int, oid: int, identity: Identity, missing: frozenset[int]
    ) -> None:
        """Note a change of a row, and the columns that its event did not have.

        `lsn` is the commit LSN of the transaction.
        """
        self._lsns[xid] = lsn
        rows = self._by_xid.setdefault(xid, {})
        known = rows.get((oid, identity))
        if known is None:
            self._size += 1
            if not self._size % _PRUNE:
                self._make_room()
        rows[oid, identity] = missing if known is None else known & missing

    def _make_room(self) -> None:
        if self.seen:
            self.prune(self.seen)
        if self._size > LIMIT:
            for xid in self._by_xid:  # in the order of their commits, not of their ids
                if self._forgotten is None or is_younger(xid, self._forgotten):
                    self._forgotten = xid
            self._by_xid.clear()
            self._lsns.clear()
            self._size = 0

    def prune(self, seen: Visibility) -> None:
        """Forget what a snapshot sees: every later one sees it too."""
        for xid in [xid for xid in self._by_xid if seen.sees(xid)]:
            self._size -= len(self._by_xid.pop(xid))
            del self._lsns[xid]

    def allow(self, seen: Visibility) -> bool:
        """Return whether everything that a snapshot does not see is remembered."""
        if self._forgotten is not None:
            if seen.widen(self._forgotten) >= seen.xmin:
                return False
            self._forgotten = None
        return True

    def unseen(self, seen: Visibility, oid: int) -> dict[Identity, frozenset[int]]:
        """Return the rows of a table that changed unseen, and the columns that no event had."""
        found: dict[Identity, frozenset[int]] = {}
        for xid, rows in self._by_xid.items():
            if seen.sees(xid):
                continue
            for (table, identity), missing in rows.items():
                if table == oid:
                    found[identity] = found.get(identity, missing) & missing
        return found

    def since(self, seen: Visibility, marked: int) -> int:
        """Return an LSN from which on everything was committed that a snapshot does not see.

        `marked` is the commit LSN of its marker.
        """
        return min((lsn for xid, lsn in self._lsns.items() if not seen.sees(xid)), default=marked)

    def missing(self, seen: Visibility, oid: int, identity: Identity) -> frozenset[int] | None:
        """Return the columns that no unseen change of a row had; None if there was none."""
        found = [
            rows[oid, identity]
            for xid, rows in self._by_xid.items()
            if (oid, identity) in rows and not seen.sees(xid)
        ]
        return frozenset.intersection(*found) if found else None

"""The window of the snapshots: where chunks meet the stream, and old rows are taken out of them.

A marker is a transaction of the stream. Every change that a chunk's snapshot saw was committed
before the marker, and so was published before it. A change that the snapshot did not see either
comes after the marker, or it is among `RecentChanges` and takes its row out of the chunk. A row
that is published at the marker is therefore exactly what the stream has made of it so far.

A row that was taken out is owed if no event of those changes had all of its values: the server does
not send large values that did not change. Owed rows are read again.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from cdc_sidecar.errors import RecordTooLarge, SidecarError
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.registry.records import TableSnapshot, encode_snapshot
from cdc_sidecar.events.route import TopicRoute
from cdc_sidecar.events.snapshot.changes import RecentChanges
from cdc_sidecar.events.snapshot.chunk import Chunk, Identity
from cdc_sidecar.events.snapshot.covered import CoveredRange, covered_by
from cdc_sidecar.events.snapshot.notifications import Notifications
from cdc_sidecar.events.snapshot.progress import SnapshotPhase


class RowsOfChunks(Protocol):
    """Publishes the rows of chunks, and knows the sinks of the stream."""

    def publish(
        self, transaction: SourceTransaction, chunk: Chunk, places: Sequence[int] | None
    ) -> int:
        """Add an `r` event for the rows at these places, or for all; return how many there are.

        Raises:
            RecordTooLarge: a topic does not take a row; nothing has changed.

        """

    def unwatch(self, oid: int) -> None:
        """Let the changes of a table pass without a report from now on."""


class SnapshotWindow:
    """Used by the replication thread; `expect`, `withdraw` and `state` by the reading one too."""

    def __init__(
        self,
        states: Iterable[TableSnapshot],
        rows: RowsOfChunks,
        open_route: Callable[[], TopicRoute],
        notifications: Notifications | None = None,
        cover: Callable[[SourceTransaction, CoveredRange], None] | None = None,
    ) -> None:
        """Continue unfinished snapshots; their progress is written to the topic of the route.

        `cover` is called with the range of each chunk that is published.
        """
        self._states = {state.oid: state for state in states}
        self._rows = rows
        self._open_route = open_route
        self._notifications = notifications
        self._cover = cover
        self._route: TopicRoute | None = None
        self._expected: dict[bytes, Chunk] = {}
        self._guard = threading.Lock()
        self.recent = RecentChanges()

    # --- for the thread that reads

    def state(self, oid: int) -> TableSnapshot:
        """Return how far the snapshot of a table is published."""
        return self._states[oid]

    def admit(self, state: TableSnapshot) -> None:
        """Know a table whose snapshot is over, or that has had none."""
        self._states.setdefault(state.oid, state)

    def expect(self, chunk: Chunk) -> None:
        """Accept a chunk, whose marker will come."""
        with self._guard:
            self._expected[chunk.content] = chunk

    def withdraw(self, chunk: Chunk) -> None:
        """Give up a chunk whose marker may never come, unless it has come."""
        with self._guard:
            if self._expected.pop(chunk.content, None):
                chunk.settle(published=False)

    # --- for the replication thread

    def watches(self, oid: int) -> bool:
        """Return whether the changes of a table must be reported to the window."""
        state = self._states.get(oid)
        return state is not None and state.phase.is_open

    def fill(
        self, xid: int, oid: int, identity: Identity, missing: frozenset[int]
    ) -> dict[int, bytes | None]:
        """Return values that an event lacks, as far as an expected chunk has them.

        A value that a change has left alone is the one that the snapshot saw, unless another unseen
        change has set it before.
        """
        for chunk in tuple(self._expected.values()):
            if chunk.oid != oid or chunk.visibility.sees(xid):
                continue
            row = chunk.row(identity)
            if row is None or not self.recent.allow(chunk.visibility):
                continue
            before = self.recent.missing(chunk.visibility, oid, identity)
            known = missing if before is None else missing & before
            return {place: row[place] for place in known}
        return {}

    def changed(
        self, xid: int, lsn: int, oid: int, identity: Identity, missing: frozenset[int]
    ) -> None:
        """Note a change of a row, and the columns that its event did not have."""
        self.recent.add(xid, lsn, oid, identity, missing)
        state = self._states[oid]
        if not missing and state.owed:
            owed = tuple(each for each in state.owed if each != _texts(identity))
            self._states[oid] = replace(state, owed=owed)

    def owe(self, transaction: SourceTransaction, oid: int, identity: Identity) -> None:
        """Note that a row must be read again, since a part of it was not sent under a new key."""
        state = self._states[oid]
        if _texts(identity) not in state.owed:
            self._store(transaction, replace(state, owed=(*state.owed, _texts(identity))))

    def mark(self, transaction: SourceTransaction, content: bytes) -> None:
        """Publish the chunk of a marker, with the progress after it, in one transaction.

        Raises:
            SidecarError: the progress cannot be written.

        """
        with self._guard:
            chunk = self._expected.get(content)
            if chunk is None or chunk.xid != transaction.xid:
                return  # of an earlier session, or somebody else's
            del self._expected[content]
        chunk.settle(published=self._publish(transaction, chunk))

    def _publish(self, transaction: SourceTransaction, chunk: Chunk) -> bool:
        state = self._states[chunk.oid]
        chunk.placed_at = transaction.final_lsn
        if chunk.replaces:
            self._store(transaction, chunk.after)
            self._rows.unwatch(chunk.oid)  # it may be watched from now on
            return True
        self.recent.prune(chunk.visibility)
        if state.cursor != chunk.before.cursor or not self.recent.allow(chunk.visibility):
            return False
        unseen = self.recent.unseen(chunk.visibility, chunk.oid) if chunk.identity else {}
        places, owed = _without(chunk, unseen)
        chunk.superseded = 0 if places is None else len(chunk.rows) - len(places)
        try:
            published = self._rows.publish(transaction, chunk, places)
        except RecordTooLarge as error:  # the stream goes on
            self._store(transaction, failed(state, error))
            return False
        # a table that is begun anew brings everything that its snapshot sees
        anew = chunk.after.storage != state.storage
        asked = set(state.owed if anew else map(_texts, chunk.asked)) - set(map(_texts, unseen))
        kept = [identity for identity in state.owed if identity not in asked]
        kept += [identity for identity in map(_texts, owed) if identity not in kept]
        after = replace(chunk.after, owed=tuple(kept), rows=state.rows + published)
        self._finish(transaction, chunk, after, 0 if anew else state.since)
        return True

    def _finish(
        self, transaction: SourceTransaction, chunk: Chunk, after: TableSnapshot, first: int
    ) -> None:
        """Write the progress after a chunk, and say which range it covers.

        `first` is what `recent.since` was at the table's first chunk; 0 if this is the first one.
        """
        since = self.recent.since(chunk.visibility, transaction.final_lsn)
        after = _ended(replace(after, since=first or since))
        self._store(transaction, after)
        covered = covered_by(chunk, after, since)
        if self._cover and covered:
            self._cover(transaction, covered)

    def _store(self, transaction: SourceTransaction, state: TableSnapshot) -> None:
        """Write the progress of a table in the transaction whose rows it covers (I1)."""
        route = self._route = self._route or self._open_route()
        key, value = encode_snapshot(state)
        transaction.append(route, value, key)
        before, self._states[state.oid] = self._states[state.oid], state
        if self._notifications:
            last = not any(each.phase.is_open for each in self._states.values())
            self._notifications.tell(transaction, before, state, last=last)
        if not self.watches(state.oid):
            self._rows.unwatch(state.oid)


def _without(
    chunk: Chunk, unseen: dict[Identity, frozenset[int]]
) -> tuple[list[int] | None, list[Identity]]:
    """Return the places of rows that did not change unseen (None: all), and who is owed instead."""
    if not unseen:
        return None, []
    places = chunk.places
    dropped = {places[identity] for identity in unseen if identity in places}
    kept = [place for place in range(len(chunk.rows)) if place not in dropped]
    owed = [identity for identity, missing in unseen.items() if missing and identity in places]
    return kept, owed


def _ended(state: TableSnapshot) -> TableSnapshot:
    """Return the progress, which is the last one if everything is read and nothing is owed."""
    if state.phase is SnapshotPhase.READ and not state.owed:
        return replace(state, phase=SnapshotPhase.DONE, cursor=None, bound=None)
    return state


def failed(state: TableSnapshot, error: SidecarError) -> TableSnapshot:
    """Return the progress of a table that cannot be read or published."""
    return replace(state, phase=SnapshotPhase.FAILED, error=f"{error.code}: {error.fact}")


def _texts(identity: Identity) -> tuple[str | None, ...]:
    return tuple(None if value is None else value.decode() for value in identity)

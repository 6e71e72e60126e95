"""Which table is read next, and what the requests of a person change about that."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from cdc_sidecar.checks.snapshots import check_request
from cdc_sidecar.config.model import Table
from cdc_sidecar.errors import SidecarError, SnapshotRefused
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.change import changed
from cdc_sidecar.events.snapshot.chunk import Chunk
from cdc_sidecar.events.snapshot.progress import SnapshotPhase
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.postgres.chunks import ChunkReader
from cdc_sidecar.runtime.markers import announce
from cdc_sidecar.runtime.snapshot_requests import SnapshotRequest, SnapshotRequests

_POLL: Final = 0.05
"""Seconds between two looks whether Kafka has committed a request."""
_PATIENCE: Final = 25.0
"""Seconds that this may take; the person waits a little longer."""


class SnapshotSchedule:
    """Used by the snapshot thread; a request is answered once Kafka has committed it."""

    def __init__(
        self,
        tables: Mapping[int, Table],
        names: Mapping[int, str],
        window: SnapshotWindow,
        requests: SnapshotRequests,
        committed: Callable[[], int],
        report: Callable[[TableSnapshot], None],
    ) -> None:
        """Serve `requests`; `tables` and `names` are of the captured tables, by oid, in order.

        `committed` returns the LSN up to which Kafka has committed everything. `report` is called
        with each progress that a request has changed.
        """
        self._tables = tables
        self._names = names
        self._window = window
        self._requests = requests
        self._committed = committed
        self._report = report
        self.stopping = threading.Event()
        """Set when the session ends."""
        for oid, table in tables.items():
            window.admit(
                TableSnapshot(
                    oid, names[oid], table.generation, initial=False, phase=SnapshotPhase.NONE
                )
            )

    @property
    def due(self) -> Iterator[int]:
        """The tables that are to be read, in their order."""
        return (oid for oid in self._tables if _is_due(self._window.state(oid)))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return next(self.due, None) is None and not self.has_request

    @property
    def has_request(self) -> bool:
        """Whether a person waits for an answer."""
        return self._requests.any

    def config(self, oid: int) -> Table:
        """Return the configuration of a table."""
        return self._tables[oid]

    def await_request(self, timeout: float) -> bool:
        """Wait for a request; return whether there is one."""
        return self._requests.wait(timeout)

    def wake(self) -> None:
        """Wake the thread that waits for a request."""
        self._requests.wake()

    def serve(self, reader: ChunkReader) -> bool:
        """Answer every request that waits; return whether a table is begun.

        Nothing may be under way. An error is the answer to its request.
        """
        begun = False
        while request := self._requests.take():
            begun |= request.action == "start"
            try:
                request.answer(self._change(request, reader))
            except SidecarError as error:
                request.answer([], error)
        return begun

    def _change(self, request: SnapshotRequest, reader: ChunkReader) -> list[str]:
        """Do what a request asks for; return the names of the tables that it has changed."""
        names = []
        for oid in self._wanted(request):
            state = self._window.state(oid)
            after = changed(state, request.action, request.where, request.rate)
            if after != state:
                if request.where:
                    reader.try_condition(oid, request.where)
                self._await_commit(announce(reader, self._window, state, after))
                self._report(after)
                names.append(state.name)
        return names

    def _wanted(self, request: SnapshotRequest) -> list[int]:
        """Return the tables of a request.

        Raises:
            SnapshotRefused: it names a table that is not captured, or none where it must.

        """
        oids = {name: oid for oid, name in self._names.items()}
        check_request(request.action, request.tables, oids)
        return [oids[name] for name in request.tables] or list(self._tables)

    def _await_commit(self, chunk: Chunk) -> None:
        """Wait until the Kafka transaction is committed that holds the new progress.

        Raises:
            SnapshotRefused: that takes too long, or the session ends.

        """
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and not self.stopping.is_set():
            if chunk.settled.wait(_POLL) and self._committed() > chunk.placed_at:
                return
        raise SnapshotRefused(
            "Kafka has not committed the request yet",
            cause="the stream is far behind, or it has just ended",
            hint="look at `cdc-sidecar snapshot status` whether it took effect, and try again",
        )


def _is_due(state: TableSnapshot) -> bool:
    return state.phase.is_open and not state.paused

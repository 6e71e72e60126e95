"""The snapshot thread: reads the tables of a session whose older rows are not published yet.

It never waits for Kafka itself: a chunk is settled once the stream has met its marker, and only a
few chunks may be under way.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cdc_sidecar import failpoints
from cdc_sidecar.config.model import Postgres, Snapshot
from cdc_sidecar.errors import Disposition, SidecarError
from cdc_sidecar.events.registry.records import TableSnapshot
from cdc_sidecar.events.snapshot.chunk import PREFIX, Chunk
from cdc_sidecar.events.snapshot.window import SnapshotWindow, failed
from cdc_sidecar.failpoints import Failpoint
from cdc_sidecar.postgres.chunks import ChunkReader
from cdc_sidecar.runtime.crash import CrashGuard
from cdc_sidecar.runtime.markers import announce
from cdc_sidecar.runtime.snapshot_schedule import SnapshotSchedule
from cdc_sidecar.runtime.table_reading import TableReading
from cdc_sidecar.runtime.under_way import UnderWay

_POLL: Final = 0.1
"""Seconds between two looks at something that must pass: transactions, lag, a settled chunk."""
_IDLE: Final = 5.0
"""Seconds that the thread waits for a request before it looks whether it shall end."""
_OWED: Final = 0.5
"""Seconds before owed rows are read again whose changes could not be seen yet."""
_BACK_OFF: Final = 2.0
"""Seconds before a table is read again after a lock, a time-out or a lost connection."""


class SnapshotTelemetry(Protocol):
    """Receives the reports of the snapshot thread."""

    def chunk_begun(self) -> None:
        """Report that a transaction is about to begin that reads rows."""

    def chunk_ended(self) -> None:
        """Report that it has ended."""

    def snapshot_waits(self, reason: str, whom: Sequence[str] = ()) -> None:
        """Report why nothing is read now: `fence` or `lag`; `whom` it waits for."""

    def chunk_settled(self, chunk: Chunk, state: TableSnapshot) -> None:
        """Report what became of a chunk, and the progress of its table."""

    def snapshot_interrupted(self, error: SidecarError) -> None:
        """Report an error after which reading is tried again."""


class Snapshotter:
    """Reads the open tables in their order, and serves requests; `run` is its thread."""

    def __init__(
        self,
        postgres: Postgres,
        settings: Snapshot,
        schedule: SnapshotSchedule,
        window: SnapshotWindow,
        telemetry: SnapshotTelemetry,
        lag: Callable[[], float],
        fail: Callable[[SidecarError], None],
    ) -> None:
        """Read the tables of the schedule; `lag` is that of the stream, in seconds."""
        self._postgres = postgres
        self._settings = settings
        self._schedule = schedule
        self._window = window
        self._telemetry = telemetry
        self._lag = lag
        self._fail = fail
        self._stopping = schedule.stopping
        self._fact = ""  # of the last error; some are final if they come twice
        self._not_before: dict[int, float] = {}  # when owed rows of a table may be read again
        self._fenced = False  # once is enough: the window knows all changes since then

    def stop(self) -> None:
        """Read nothing more."""
        self._stopping.set()
        self._schedule.wake()

    def run(self) -> None:
        """Read until stopped, and wait while there is nothing to do."""
        try:
            with CrashGuard():
                while not self._stopping.is_set():
                    if self._schedule.is_idle and not self._schedule.await_request(_IDLE):
                        continue
                    if not self._work():
                        self._stopping.wait(_BACK_OFF)
        except SidecarError as error:
            self._fail(error)

    def _work(self) -> bool:
        """Serve requests and read tables; return whether nothing went wrong."""
        try:
            reader = ChunkReader(self._postgres)
            try:
                while not self._stopping.is_set() and not self._schedule.is_idle:
                    if self._schedule.serve(reader):
                        self._fenced = False  # changes of a table that is begun were not watched
                    if not self._fenced:
                        self._fence(reader)
                        self._fenced = True
                    self._read_tables(reader)
            finally:
                reader.close()
        except SidecarError as error:
            self._telemetry.snapshot_interrupted(error)
            return False
        return True

    def _fence(self, reader: ChunkReader) -> None:
        """Wait for transactions that may have committed before the stream, and are not seen yet.

        The marker is committed after each of them began, so that they are among those that run.
        """
        with reader.transaction():
            reader.emit(PREFIX, b"")
            reader.commit()
        running = reader.snapshot().running
        while running and not self._stopping.is_set():
            now = reader.snapshot()
            self._window.recent.seen = now
            running = (running & now.running) - reader.find_idle(running)
            if running:
                self._telemetry.snapshot_waits("fence", reader.name_running(running))
                self._stopping.wait(_POLL)
        failpoints.reach(Failpoint.AFTER_FENCE)

    def _read_tables(self, reader: ChunkReader) -> None:
        """Read the open tables chunk by chunk until all are published, or a request waits.

        Then nothing is under way.
        """
        under_way = UnderWay(self._window, self._settings)
        readings: dict[int, TableReading] = {}
        try:
            while not self._stopping.is_set():
                table = None if self._schedule.has_request else self._next_table(under_way)
                if table is not None:
                    if table.oid not in readings:
                        readings[table.oid] = self._reading(reader, table.oid)
                    under_way.add(self._read_chunk(reader, readings[table.oid], table))
                elif under_way:
                    self._settle(under_way, readings)
                elif self._schedule.is_idle or self._schedule.has_request:
                    return
                else:  # only owed rows are left, and it is too early for them
                    self._stopping.wait(_POLL)
        finally:
            under_way.withdraw()

    def _next_table(self, under_way: UnderWay) -> TableSnapshot | None:
        """Return the first table of which a chunk can be read now, with the progress before it."""
        if under_way.is_full:
            return None
        now = time.monotonic()
        for oid in self._schedule.due:
            before = under_way.before_next(oid)
            if before is not None and self._not_before.get(oid, now) <= now:
                return before
        return None

    def _reading(self, reader: ChunkReader, oid: int) -> TableReading:
        table = self._schedule.config(oid)
        return TableReading(reader, self._window, self._settings, table, oid)

    def _read_chunk(
        self, reader: ChunkReader, reading: TableReading, state: TableSnapshot
    ) -> Chunk:
        self._throttle()
        began = time.monotonic()
        self._telemetry.chunk_begun()
        try:
            chunk = reading.read(state)
            self._fact = ""
        except SidecarError as error:
            twice, self._fact = error.fact == self._fact, error.fact
            final = error.final if twice else None
            if final is None and (error.disposition is Disposition.RETRY or error.may_mend):
                raise
            chunk = announce(reader, self._window, state, failed(state, final or error))
        finally:
            self._telemetry.chunk_ended()
        rate = state.rate or self._settings.max_rows_per_second
        if rate:
            self._stopping.wait(began + len(chunk.rows) / rate - time.monotonic())
        return chunk

    def _throttle(self) -> None:
        """Read nothing while the stream is behind."""
        while self._lag() > self._settings.max_lag and not self._stopping.is_set():
            self._telemetry.snapshot_waits("lag")
            self._stopping.wait(_POLL)

    def _settle(self, under_way: UnderWay, readings: dict[int, TableReading]) -> None:
        """Wait for the oldest chunk, and report what became of it."""
        chunk = under_way.await_oldest(_POLL, self._stopping.is_set)
        if chunk is None:
            return
        oid, state = chunk.oid, self._window.state(chunk.oid)
        self._telemetry.chunk_settled(chunk, state)
        self._not_before.pop(oid, None)
        if chunk.asked and len(state.owed) >= len(chunk.before.owed):
            self._not_before[oid] = time.monotonic() + _OWED
        if not state.phase.is_open:
            readings.pop(oid, None)

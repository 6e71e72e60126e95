"""The sidecar with some of its rules off: `python -m tests.acceptance.sabotage RULE… run`.

The negative controls start it instead of `python -m cdc_sidecar`. A test that finds no fault in
this sidecar could not find one in the real sidecar either.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum
from typing import Any

from cdc_sidecar.checks.continuity import Continuity
from cdc_sidecar.cli import main
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.events.record import Record
from cdc_sidecar.events.snapshot import window
from cdc_sidecar.events.snapshot.changes import RecentChanges
from cdc_sidecar.events.snapshot.window import SnapshotWindow
from cdc_sidecar.kafka.claim import Claimant
from cdc_sidecar.kafka.producer import TransactionalProducer
from cdc_sidecar.kafka.settlement import Verdict
from cdc_sidecar.postgres.chunks import ChunkReader
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.runtime import table_reading
from cdc_sidecar.runtime.publisher import Publisher
from cdc_sidecar.runtime.snapshotter import Snapshotter


class Rule(Enum):
    """A rule that can be switched off, named by what must hold."""

    ONE_COMMIT = "I1: the position is committed with its events"
    FENCE_THEN_READ = "I2: the position that counts is read after the fence"
    HIGH_WATERMARK = "I2: the position is read up to the high watermark"
    PERSIST_THEN_ACKNOWLEDGE = "I3: nothing is acknowledged before it is committed"
    SLOT_CHECK = "I7: a slot ahead of the position halts"
    SKIP_COVERED = "A.2: a replayed transaction that the position covers is skipped"
    CURSOR = "I5: inside a split transaction rows are skipped up to the cursor"
    DISPOSABLE_PRODUCER = "I8: after a slow commit the producer is replaced"
    UNSEEN = "a row that was changed unseen is taken out of its chunk"
    FILL_OR_OWE = "a value that was not sent is filled in, or its row is owed"
    BY_KEY = "a table with large values is read by its key"
    FENCE = "nothing is read before all that was published is seen"
    LOCK = "no DDL lies between the snapshot of a chunk and its marker"
    BEGIN_AGAIN = "a table that was rewritten is read from its beginning"


def _replace(owner: object, name: str, wrap: Callable[[Any], object]) -> None:
    """Replace a member by `wrap(member)`; fail if there is no member of this name."""
    setattr(owner, name, wrap(getattr(owner, name)))


def _commit_position_apart() -> None:
    def wrap(produce: Any) -> object:  # noqa: ANN401 - the method itself
        def produce_apart(
            self: TransactionalProducer, records: Iterable[Record], *waiting: object
        ) -> None:
            records = list(records)
            if any(record.topic.endswith(".position") for record in records):
                self.commit()
                self.begin()
            produce(self, records, *waiting)

        return produce_apart

    _replace(TransactionalProducer, "produce", wrap)


def _believe_the_look() -> None:
    looked = []

    def wrap(read: Any) -> object:  # noqa: ANN401 - as above
        def read_and_remember(self: Claimant, *where: object) -> object:
            looked.append(read(self, *where))
            return looked[-1]

        return read_and_remember

    _replace(Claimant, "_read", wrap)
    _replace(Claimant, "_read_decided", lambda _: lambda _self: looked[-1])


def _read_to_the_stable_end() -> None:
    def read(self: Any) -> object:  # noqa: ANN401 - as above
        return self.read_unclaimed()

    _replace(Claimant, "_read_decided", lambda _: read)
    # It would find what stands behind the open transaction.
    _replace(Claimant, "_judge", lambda _: lambda *_: Verdict(None, ()))


def _acknowledge_first() -> None:
    def wrap(commit: Any) -> object:  # noqa: ANN401 - as above
        def commit_late(self: Any, open_: Any) -> None:  # noqa: ANN401 - as above
            self._acknowledgement.advance(open_.batch.position.end_lsn)
            commit(self, open_)

        return commit_late

    _replace(Publisher, "_commit", wrap)


def _check_no_slot() -> None:
    _replace(Continuity, "_slot_ahead", lambda _: lambda _self, _position: None)


def _skip_nothing() -> None:
    def wrap(start: Any) -> object:  # noqa: ANN401 - as above
        return lambda self, slot, _position, publication: start(self, slot, 0, publication)

    _replace(ReplicationConnection, "start", wrap)
    _replace(Position, "covers_transaction", lambda _: lambda _self, _lsn: False)


def _forget_the_cursor() -> None:
    _replace(Partial, "covers", lambda _: lambda _self, _lsn, _index: False)


def _keep_the_producer() -> None:
    def wrap(commit: Any) -> object:  # noqa: ANN401 - as above
        return lambda self, *waiting: commit(self, *waiting) or True

    _replace(TransactionalProducer, "commit", wrap)


def _see_no_change() -> None:
    _replace(RecentChanges, "unseen", lambda _: lambda _self, _seen, _oid: {})


def _fill_and_owe_nothing() -> None:
    def wrap(without: Any) -> object:  # noqa: ANN401 - as above
        return lambda chunk, unseen: (without(chunk, unseen)[0], [])

    _replace(SnapshotWindow, "fill", lambda _: lambda _self, *_change: {})
    _replace(SnapshotWindow, "owe", lambda _: lambda _self, *_row: None)
    _replace(window, "_without", wrap)


def _read_by_pages() -> None:
    def wrap(size: Any) -> object:  # noqa: ANN401 - as above
        return lambda self, oid, name: replace(size(self, oid, name), large_bytes=0)

    _replace(ChunkReader, "size", wrap)


def _read_unfenced() -> None:
    _replace(Snapshotter, "_fence", lambda _: lambda _self, _reader: None)


def _lock_nothing() -> None:
    _replace(ChunkReader, "transaction", lambda begin: lambda self, _source="": begin(self))


def _go_on_after_a_rewrite() -> None:
    _replace(table_reading, "_is_rewritten", lambda _: lambda *_table: False)


_OFF: dict[Rule, Callable[[], None]] = {
    Rule.ONE_COMMIT: _commit_position_apart,
    Rule.FENCE_THEN_READ: _believe_the_look,
    Rule.HIGH_WATERMARK: _read_to_the_stable_end,
    Rule.PERSIST_THEN_ACKNOWLEDGE: _acknowledge_first,
    Rule.SLOT_CHECK: _check_no_slot,
    Rule.SKIP_COVERED: _skip_nothing,
    Rule.CURSOR: _forget_the_cursor,
    Rule.DISPOSABLE_PRODUCER: _keep_the_producer,
    Rule.UNSEEN: _see_no_change,
    Rule.FILL_OR_OWE: _fill_and_owe_nothing,
    Rule.BY_KEY: _read_by_pages,
    Rule.FENCE: _read_unfenced,
    Rule.LOCK: _lock_nothing,
    Rule.BEGIN_AGAIN: _go_on_after_a_rewrite,
}


def program(*rules: Rule) -> tuple[str, ...]:
    """Return the module and the first arguments that run the sidecar without `rules`."""
    return ("tests.acceptance.sabotage", *(rule.name for rule in rules))


if __name__ == "__main__":
    while sys.argv[1] in Rule.__members__:
        _OFF[Rule[sys.argv.pop(1)]]()
    main()

"""One partition in the memory of the member that reads it."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cdc_sidecar_client.consumer.handlers import Work
from cdc_sidecar_client.consumer.record import Record
from cdc_sidecar_client.consumer.tables import Place


@dataclass(slots=True)
class Lane:
    """A partition: its offset, the records that wait, and what is known of the first one.

    Attributes:
        place: topic and partition.
        stored: the offset in the database, as this member has read or written it last.
        pending: records that are not handled yet, in order.
        attempts: how often the first record has failed.
        due: when it may be tried again, in seconds of the monotonic clock.
        singly: so many records are handled one by one, because their batch failed.
        is_paused: whether Kafka sends nothing meanwhile.
        reported: the offset that Kafka knows.

    """

    place: Place
    stored: int
    pending: deque[Record] = field(default_factory=deque)
    attempts: int = 0
    due: float = 0.0
    singly: int = 0
    is_paused: bool = False
    reported: int | None = None

    def is_ready(self, now: float) -> bool:
        """Return whether there is something to do."""
        return bool(self.pending) and self.due <= now

    def advance(self, works: Sequence[Work]) -> None:
        """Forget the first records, which are committed."""
        self.stored = works[-1].record.offset + 1
        for _ in works:
            self.pending.popleft()
        self.attempts, self.due = 0, 0.0
        self.singly = max(0, self.singly - len(works))

    def wait(self, until: float) -> None:
        """Try the first record again later."""
        self.attempts += 1
        self.due = until

"""What a consumer does about failures, unknown events and its first start."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from cdc_sidecar_client.consumer.errors import ConfigurationInvalid


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempts of one event with exponential back-off. Times are in seconds.

    After `attempts` the event is parked. With the defaults it is parked after a minute.
    """

    attempts: int = 8
    initial: float = 0.5
    factor: float = 2.0
    maximum: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.initial < 0 or self.factor < 1 or self.maximum < 0:
            raise ConfigurationInvalid(f"{self} has a value that is too small")

    def delay(self, failures: int) -> float:
        """Return how long to wait after a number of failures, which is at least 1."""
        exponent = min(failures - 1, 64)  # beyond it a power of 2 only gets larger than `maximum`
        return min(self.initial * self.factor**exponent, self.maximum)


@dataclass(frozen=True, slots=True)
class Policy:
    """How events are handled.

    Attributes:
        retry: when a failed event is tried again, and when it is parked.
        unknown: what happens to an event whose type has no handler: it is counted and passed over,
            parked, or `run` ends with `UnknownEventType`.
        start: where a group begins that has no offsets, neither in the database nor in Kafka.
            Partitions that are added later always begin with their first event.
        batch: how many events may share a transaction. If one of them fails, the transaction is
            rolled back and its events are handled one by one, so a handler may run again for an
            event that did not fail. Effects in the database still happen once.
        raw_topics: topics with `payload = "raw"`, whose values have no frame.

    """

    retry: Retry = field(default_factory=Retry)
    unknown: Literal["ignore", "park", "stop"] = "ignore"
    start: Literal["earliest", "latest"] = "earliest"
    batch: int = 1
    raw_topics: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.unknown not in ("ignore", "park", "stop"):
            hint = 'choose "ignore", "park" or "stop"'
            raise ConfigurationInvalid(f"unknown = {self.unknown!r}", hint=hint)
        if self.start not in ("earliest", "latest"):
            hint = 'choose "earliest" or "latest"'
            raise ConfigurationInvalid(f"start = {self.start!r}", hint=hint)
        if self.batch < 1:
            raise ConfigurationInvalid(f"batch = {self.batch} is less than 1")

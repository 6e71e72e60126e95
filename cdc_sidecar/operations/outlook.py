"""What can be seen of a sidecar that does not answer: from Postgres and from Kafka, each alone."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.kafka.claim import read_current_position
from cdc_sidecar.kafka.client import ask_brokers
from cdc_sidecar.kafka.last_run import LastRun, read_last_run
from cdc_sidecar.kafka.position import PositionRecord
from cdc_sidecar.operations.observation import observe
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.server import SourceServer, read_server
from cdc_sidecar.postgres.slot import SlotStatus, read_slot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """The server and the slot; None if the slot does not exist."""

    server: SourceServer
    slot: SlotStatus | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known. Each part is None if it could not be read; then its error is kept."""

    source: Source | None
    record: PositionRecord | None  # None also if there is no position yet
    last_run: LastRun | None  # None also if no run has said anything that still counts
    fault: SidecarError | None  # why a sidecar cannot continue from the position
    postgres_error: SidecarError | None
    kafka_error: SidecarError | None


class Observer:
    """Looks once; the error of one server does not hide what the other one shows."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._errors: dict[str, SidecarError] = {}

    def look(self) -> Outlook:
        """Return what can be seen."""
        source = self._try("postgres", self._read_source)
        reachable = self._try("kafka", self._reach_brokers)
        record = self._try("kafka", self._read_position) if reachable else None
        last_run = self._try("kafka", lambda: read_last_run(self._config)) if reachable else None
        return Outlook(
            source,
            record,
            last_run if last_run and _still_counts(last_run, record) else None,
            self._find_fault() if source and record else None,
            self._errors.get("postgres"),
            self._errors.get("kafka"),
        )

    def _try(self, server: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except SidecarError as error:
            self._errors.setdefault(server, error)
            return None

    def _read_source(self) -> Source:
        with (
            closing(Database(self._config.postgres)) as database,
            database.connection() as connection,
        ):
            slot = read_slot(connection, self._config.postgres.slot)
            return Source(read_server(connection), slot)

    def _reach_brokers(self) -> bool:
        """Ask first for a short time: a person waits, and a request waits longer."""
        ask_brokers(self._config.kafka)
        return True

    def _read_position(self) -> PositionRecord | None:
        return read_current_position(self._config)

    def _find_fault(self) -> SidecarError | None:
        fingerprint = Capture.of(self._config).fingerprint
        try:
            seen = observe(self._config, fingerprint)
        except SidecarError as error:
            return error
        return seen.mismatch or seen.fault(fingerprint)


def _still_counts(run: LastRun, record: PositionRecord | None) -> bool:
    """Return whether no other process has moved the position since the run wrote its record."""
    return record is None or record.instance == run.instance or record.written_at <= run.at

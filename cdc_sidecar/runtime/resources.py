"""The objects that outlive a session: the daemon creates them, and each session uses them."""

import threading
from dataclasses import dataclass

from cdc_sidecar.config.model import Config
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.runtime.runs import RunKeeper
from cdc_sidecar.runtime.snapshot_requests import SnapshotRequests
from cdc_sidecar.runtime.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Resources:
    """The objects that the daemon owns."""

    config: Config
    version: str
    database: Database
    served: Subjects  # the committed schemas, as HTTP serves them
    telemetry: Telemetry
    runs: RunKeeper
    stopping: threading.Event
    walsenders: set[int]  # process ids of all walsenders that ever held the lock for us
    requests: SnapshotRequests
    bootstrap: bool  # a person said that a slot without a position is a first start

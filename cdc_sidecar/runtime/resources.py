"""What outlives a session: made once by the daemon, lent to each session."""

import threading
from dataclasses import dataclass

from cdc_sidecar.config.model import Config
from cdc_sidecar.events.subjects import Subjects
from cdc_sidecar.logs import Logger
from cdc_sidecar.metrics import Metrics
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.runtime.state import StateBoard


@dataclass(frozen=True, slots=True)
class Resources:
    """The daemon's own things."""

    config: Config
    version: str
    database: Database
    registry: Subjects  # what the HTTP thread serves
    board: StateBoard
    metrics: Metrics
    log: Logger
    stopping: threading.Event
    walsenders: set[int]  # process ids of all that ever held the lock for us
    bootstrap: bool  # a person said that the slot without a position is a first start

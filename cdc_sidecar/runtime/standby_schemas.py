"""The schemas that a standby serves: those of the sidecar that streams, as they are committed."""

import threading
from types import TracebackType
from typing import Final, Self

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import RetryError, SidecarError
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.kafka.schemas import SchemaWatch
from cdc_sidecar.logs import Logger

_INTERVAL: Final = 2.0
"""Seconds between two looks at the topic: one request each, unless something is new."""


class StandbySchemas:
    """A thread that loads schemas while a `with` block waits.

    The end of the block does not wait for the thread: a request to Kafka must not delay a takeover.
    """

    def __init__(self, config: Config, served: Subjects, log: Logger) -> None:
        self._config = config
        self._served = served
        self._log = log
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Start the thread."""
        threading.Thread(target=self._run, name="schemas", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the thread end."""
        self._over.set()

    def _run(self) -> None:
        watch: SchemaWatch | None = None
        failing = False
        while not self._over.is_set():
            try:
                watch = watch or SchemaWatch(self._config, self._served)
                watch.refresh()
                failing = False
            except SidecarError as error:
                if not failing:
                    self._log.warning("standby_schemas_unread", code=error.code, fact=error.fact)
                failing = True
                if not isinstance(error, RetryError):
                    return
            self._over.wait(_INTERVAL)

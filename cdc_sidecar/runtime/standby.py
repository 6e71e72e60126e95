"""The waits of a session before it starts: for the lock, as a standby, and for a broker."""

import threading
from typing import Final

from cdc_sidecar.errors import KafkaUnavailable, ProducerFenced, RivalTookOver, SidecarError
from cdc_sidecar.kafka.client import ask_brokers
from cdc_sidecar.postgres.lock import holds_lock, lock_holder, lock_key
from cdc_sidecar.postgres.walsender import WalsenderConnection
from cdc_sidecar.runtime.resources import Resources
from cdc_sidecar.runtime.standby_schemas import StandbySchemas
from cdc_sidecar.runtime.telemetry import Telemetry

LOCK_POLL: Final = 0.3
"""Seconds between two tries for the lock: one short query each, and a takeover waits no longer."""
BROKER_POLL: Final = 0.5
"""Seconds between two questions whether a broker answers; each may take three seconds itself."""


class Standby:
    """The waits of a session before it examines the source; used by the main thread."""

    def __init__(
        self, resources: Resources, telemetry: Telemetry, number: int, failed: "Failure"
    ) -> None:
        """Prepare the waits; `failed` holds an error that ends the session."""
        self._resources = resources
        self._telemetry = telemetry
        self._number = number
        self._failed = failed

    def await_lock(self, connection: WalsenderConnection) -> bool:
        """Take the lock, waiting while another holds it; False when asked to stop.

        Raises:
            RivalTookOver: we held the lock before, and another sidecar holds it now.
            SidecarError: Postgres is not available.

        """
        resources, key = self._resources, lock_key(self._resources.config.postgres.slot)
        if not connection.try_lock(key):
            with StandbySchemas(resources.config, resources.served, self._telemetry.log):
                if not self._await_turn(connection, key):
                    return False
        self._telemetry.lock_taken()
        self._resources.walsenders.add(connection.backend_pid)
        return True

    def _await_turn(self, connection: WalsenderConnection, key: int) -> bool:
        """Try for the lock until it is taken; False when asked to stop."""
        holder: int | None = None
        while not connection.try_lock(key):
            self._failed.raise_if_any()
            if holder is None or holder in self._resources.walsenders:
                holder = self._look_at_holder(key, holder)
            if self._resources.stopping.wait(LOCK_POLL):
                return False
        if holder is not None:
            self._telemetry.standby_left()
        return True

    def _look_at_holder(self, key: int, before: int | None) -> int | None:
        """Return the walsender that holds the lock, and report it if it is another than `before`.

        A standby is ready while another sidecar holds the lock. It is not ready while a dead
        session of its own still holds it, because then nobody streams.
        """
        former = self._resources.walsenders
        with self._resources.database.connection() as ordinary:
            holder = lock_holder(ordinary, key)
        if holder is None or holder == before:
            return holder
        if holder in former:
            self._telemetry.former_walsender_awaited(holder)
        elif former:
            raise taken_over(f"process {holder} of the server holds the lock")
        else:
            self._telemetry.standby_entered(self._number, holder)
        return holder

    def await_brokers(self, connection: WalsenderConnection) -> bool:
        """Wait, holding the lock, until a broker answers; False when asked to stop.

        Raises:
            KafkaRefused: a broker answers and refuses the client.
            PostgresUnavailable: the connection to Postgres broke.

        """
        waiting = False
        while (reason := self._reason_to_wait()) is not None:
            self._failed.raise_if_any()
            connection.identify_system()  # raises if the connection broke
            if not waiting:
                waiting = True
                self._telemetry.brokers_awaited(reason)
            if self._resources.stopping.wait(BROKER_POLL):
                return False
        if waiting:
            self._telemetry.waiting_for(None)
        return True

    def _reason_to_wait(self) -> str | None:
        """Return why no broker answers; None if one does."""
        try:
            ask_brokers(self._resources.config.kafka)
        except KafkaUnavailable as error:
            return error.fact
        return None


class Failure:
    """The first error that any thread reports, and a wake-up for the main thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self.error: SidecarError | None = None

    def report(self, error: SidecarError) -> None:
        """Take an error, unless there is one already; called by any thread."""
        with self._lock:
            self.error = self.error or error
        self._woken.set()

    def wake(self) -> None:
        """Wake the main thread without an error."""
        self._woken.set()

    def await_wake(self, seconds: float) -> bool:
        """Wait for an error or a wake-up; return whether one came."""
        return self._woken.wait(seconds)

    def raise_if_any(self) -> None:
        """Raise the error that was reported, if there is one."""
        if self.error:
            raise self.error

    def judge(self, resources: Resources, backend_pid: int) -> None:
        """Decide whether a rival took our lock, or a broker timed our transaction out.

        Both fence the producer. Called by the main thread while the replication connection, whose
        walsender is `backend_pid`, is still open.
        """
        if not isinstance(self.error, ProducerFenced):
            return
        resources.telemetry.producer_fenced()
        try:
            with resources.database.connection() as ordinary:
                if not holds_lock(ordinary, backend_pid):
                    self.error = taken_over(self.error.fact)
        except SidecarError as unknown:
            self.error = unknown


def taken_over(fact: str) -> RivalTookOver:
    """Return the error of a sidecar that another one has replaced."""
    return RivalTookOver(
        fact,
        cause="our session on Postgres ended while this process was not running, and another began",
        hint="nothing needs to be done: the other sidecar publishes; after a restart this one is"
        " its standby",
    )

"""The links of the sidecar to Postgres and Kafka: how each is, since when, and why.

They are derived from the changes of the status, so no thread has to report them.
"""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from cdc_sidecar.errors import PostgresRefused, PostgresUnavailable
from cdc_sidecar.runtime.status import WITHOUT_KAFKA, Phase, Status
from cdc_sidecar.wording import first_line

_POSTGRES_AWAY = frozenset({PostgresUnavailable.code, PostgresRefused.code})
_CONNECTED = frozenset({Phase.WAITING, Phase.CLAIMING, Phase.STREAMING})
"""Phases that a session enters only on a connection to Postgres."""


class LinkState(StrEnum):
    """How a link is."""

    UNKNOWN = "unknown"  # nothing has been asked yet
    CONNECTED = "connected"
    AWAY = "away"
    UNUSED = "unused"  # in this phase nothing is asked


@dataclass(frozen=True, slots=True)
class Link:
    """One link; `since` is seconds since 1970."""

    state: LinkState = LinkState.UNKNOWN
    since: float | None = None
    reason: str | None = None

    def moved(self, state: LinkState, now: float, reason: str | None) -> "Link":
        """Return the link as it is now; `since` changes only with the state."""
        if state is self.state:
            return self if reason is None else replace(self, reason=reason)
        return Link(state, now, reason)


class Links:
    """Both links; `observe` is called under the lock of the status board."""

    def __init__(self) -> None:
        self.postgres = Link()
        self.kafka = Link()

    def observe(self, before: Status, after: Status, now: float) -> None:
        """Take a change of the status."""
        if after.phase in _CONNECTED or after.slot_seen_at != before.slot_seen_at:
            self.postgres = self.postgres.moved(LinkState.CONNECTED, now, None)
        elif after.error_code in _POSTGRES_AWAY:
            reason = first_line(after.error or "")
            self.postgres = self.postgres.moved(LinkState.AWAY, now, reason)
        state, why = _kafka(after)
        self.kafka = self.kafka.moved(state, now, why)

    def as_json(self) -> dict[str, Any]:
        """Return both for `/status`."""
        return {"postgres": asdict(self.postgres), "kafka": asdict(self.kafka)}


def _kafka(status: Status) -> tuple[LinkState, str | None]:
    if status.phase in WITHOUT_KAFKA:
        return LinkState.UNUSED, None
    if status.kafka_reachable:
        return LinkState.CONNECTED, None
    state = LinkState.AWAY if status.kafka_asked else LinkState.UNKNOWN
    return state, status.kafka_reason

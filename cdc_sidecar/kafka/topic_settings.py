"""The settings of topics that the sidecar creates."""

from collections.abc import Mapping
from typing import Final

INTERNAL: Final = {
    "cleanup.policy": "compact",
    "segment.ms": "3600000",
    "segment.bytes": "16777216",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "3600000",
    "unclean.leader.election.enable": "false",
}
"""Settings of the position and schemas topics. A segment that is open is not compacted, so segments
are small, and a start reads little."""

PARKED: Final = {"cleanup.policy": "delete", "retention.ms": "-1"}
"""Settings of topics of parked events, which a person decides about: no time removes them."""

_DURABLE: Final = ("min.insync.replicas",)
"""The configured settings that internal topics have too: a position must not be lost either."""


def settings_of_new(configured: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a new topic; one with settings of its own has the durable ones."""
    if not own:
        return dict(configured)
    durable = {key: configured[key] for key in _DURABLE if key in configured}
    return {**durable, **own}

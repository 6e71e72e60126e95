"""Teardown: removes the slot and the topics that the sidecar made, and nothing else.

The schemas topic goes last: it holds the ledger of the others, so that a teardown that was broken
off can be called again.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SlotLost
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.ledger import Ledger
from cdc_sidecar.kafka.topics import Topics
from cdc_sidecar.postgres.replication import ReplicationConnection
from cdc_sidecar.runtime.exclusion import exclusive
from cdc_sidecar.runtime.moves import fence
from cdc_sidecar.runtime.standing import Standing, read_standing


@dataclass(frozen=True, slots=True)
class Estate:
    """What a teardown removes, in this order, and what that is configured it leaves."""

    slot: str | None
    topics: tuple[str, ...]
    left: tuple[str, ...]  # a slot or internal topics that are not the sidecar's, and why

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return self.slot is None and not self.topics


def survey(config: Config) -> Estate:
    """Return what a teardown would remove.

    Raises:
        SidecarRunning: a sidecar lives.
        SourceChanged, WalWentBack: the position is of another source: a clone must not remove it.
        SlotUnfit: the slot is not a sidecar's.

    """
    with exclusive(config) as connection:
        return _survey(config, connection)


def tear_down(config: Config) -> Iterator[str]:
    """Remove it, and yield the name of each thing that is gone.

    Raises:
        SidecarRunning: a sidecar lives; nothing was touched.
        SidecarError: as in `survey`, or Postgres or Kafka is away.

    """
    with exclusive(config) as connection:
        estate = _survey(config, connection)
        if estate.is_empty:
            return
        fence(config)
        if estate.slot:
            connection.drop_slot(estate.slot)
            yield f"slot {estate.slot}"
        topics = _topics(config)
        for name in estate.topics:
            topics.delete(name)
            yield f"topic {name}"


def _topics(config: Config) -> Topics:
    return Topics(admin_client(config.kafka), config.topics)


def _survey(config: Config, connection: ReplicationConnection) -> Estate:
    standing = read_standing(config, connection)
    stranger = standing.stranger()
    if stranger:
        raise stranger
    slot = _own_slot(standing)
    topics, left = _own_topics(config)
    if standing.slot and slot is None:
        left = (f"slot {standing.slot.name}: no position of this service belongs to it", *left)
    return Estate(slot, topics, left)


def _own_slot(standing: Standing) -> str | None:
    """Return the slot if a position of ours names it: another's is not ours to drop."""
    slot = standing.slot
    if slot is None or standing.record is None:
        return None
    with suppress(SlotLost):
        slot.check(standing.identity.database)
    return slot.name


def _own_topics(config: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the topics to remove, in order, and why internal ones are left."""
    internal = (position_topic(config.service.name), schemas_topic(config.service.name))
    existing = _topics(config).identify(internal)
    ours = _ours(config, internal[-1]) if internal[-1] in existing else set()
    removed = (*sorted(ours.difference(internal)), *(name for name in internal if name in ours))
    left = (name for name in internal if name in existing and name not in ours)
    return removed, tuple(
        f"topic {name}: it is not known to be made by the sidecar" for name in left
    )


def _ours(config: Config, schemas: str) -> set[str]:
    """Return the topics of the ledger that are still those that were made."""
    made = Ledger(config.kafka, schemas).read()
    existing = _topics(config).identify(made)
    return {name for name, identifier in existing.items() if made[name] == identifier}

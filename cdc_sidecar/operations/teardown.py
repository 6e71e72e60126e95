"""Teardown: removes the slot and the topics that the sidecar created, and nothing else.

The schemas topic is removed last. It holds the ledger of the topics that were created, so a
teardown that was interrupted can be called again.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from cdc_sidecar.checks.continuity import Continuity
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SlotLost
from cdc_sidecar.events.names import position_topic, schemas_topic
from cdc_sidecar.kafka.client import admin_client
from cdc_sidecar.kafka.ledger import Ledger
from cdc_sidecar.kafka.topics import TopicCatalog
from cdc_sidecar.operations.claimant import claimant_of
from cdc_sidecar.operations.exclusion import exclusive
from cdc_sidecar.operations.observation import observe_on
from cdc_sidecar.postgres.walsender import WalsenderConnection


@dataclass(frozen=True, slots=True)
class Removal:
    """What a teardown removes, in this order, and the configured objects that it leaves."""

    slot: str | None
    topics: tuple[str, ...]
    left: tuple[str, ...]  # a slot or internal topics that may not be ours, with the reason

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return self.slot is None and not self.topics


def plan_teardown(config: Config) -> Removal:
    """Return what a teardown would remove.

    Raises:
        SidecarRunning: a sidecar is running.
        SourceChanged, WalWentBack: the position is of another source; a clone must not remove it.
        SlotUnfit: the slot is not one that a sidecar can read.

    """
    with exclusive(config) as connection:
        return _plan(config, connection)


def tear_down(config: Config) -> Iterator[str]:
    """Remove everything, and yield the name of each thing after its removal.

    Raises:
        SidecarRunning: a sidecar is running; nothing was changed.
        SidecarError: as in `plan_teardown`, or Postgres or Kafka is not available.

    """
    with exclusive(config) as connection:
        removal = _plan(config, connection)
        if removal.is_empty:
            return
        _fence(config, removal)
        yield from _remove(removal, connection, _topics(config))


def _fence(config: Config, removal: Removal) -> None:
    """Fence every producer. Topics that are left may need records of a hanging transaction."""
    claimant = claimant_of(config)
    if position_topic(config.service.name) in removal.topics:
        claimant.claim().producer.drop()
    else:
        claimant.fence()


def _remove(
    removal: Removal, connection: WalsenderConnection, topics: TopicCatalog
) -> Iterator[str]:
    if removal.slot:
        connection.drop_slot(removal.slot)
        yield f"slot {removal.slot}"
    for name in removal.topics:
        topics.delete(name)
        yield f"topic {name}"


def _topics(config: Config) -> TopicCatalog:
    return TopicCatalog(admin_client(config.kafka), config.topics)


def _plan(config: Config, connection: WalsenderConnection) -> Removal:
    seen = observe_on(connection, config)
    if seen.mismatch:
        raise seen.mismatch
    slot = _own_slot(seen)
    topics, left = _own_topics(config)
    if seen.source.slot and slot is None:
        name = seen.source.slot.name
        left = (f"slot {name}: no position of this service belongs to it", *left)
    return Removal(slot, topics, left)


def _own_slot(seen: Continuity) -> str | None:
    """Return the slot if a position of ours names it; another service's slot is never dropped."""
    slot = seen.source.slot
    if slot is None or seen.record is None:
        return None
    with suppress(SlotLost):
        slot.check(seen.source.identity.database)
    return slot.name


def _own_topics(config: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the topics to remove, in order, and the internal topics that stay, with the reason."""
    internal = (position_topic(config.service.name), schemas_topic(config.service.name))
    existing = _topics(config).identify(internal)
    ours = _created(config, internal[-1]) if internal[-1] in existing else set()
    removed = (*sorted(ours.difference(internal)), *(name for name in internal if name in ours))
    left = (name for name in internal if name in existing and name not in ours)
    return removed, tuple(
        f"topic {name}: nothing shows that the sidecar created it" for name in left
    )


def _created(config: Config, schemas: str) -> set[str]:
    """Return the topics of the ledger that still have the id with which they were created."""
    created = Ledger(config.kafka, schemas).read()
    existing = _topics(config).identify(created)
    return {name for name, identifier in existing.items() if created[name] == identifier}

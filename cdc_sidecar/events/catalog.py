"""The assembler's questions while it streams: facts of Postgres's catalog, and of topics."""

from dataclasses import dataclass
from typing import Protocol

from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts, Lineage


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """The broker's facts about a topic."""

    partitions: int
    max_message_bytes: int  # the smallest of the limits that a record meets
    limited_by: str = ""  # the setting behind it, and whose it is; "" is the topic's own maximum


class Catalog(Protocol):
    """Answers the assembler's questions; every method may ask the network and may take long.

    A question without an answer raises a SidecarError, and the frame that needed it is refused.
    """

    def layout_facts(self, relation: Relation) -> LayoutFacts:
        """Return the present facts of Postgres's catalog about a relation layout."""

    def lineage(self, oid: int) -> Lineage:
        """Return the present names of a relation and of the partitions around it."""

    def topic_facts(self, name: str, *, parked: bool = False) -> TopicFacts:
        """Return the facts of a topic, which exists from then on; `parked`: for parked events."""

    def later_columns(self, relation: Relation) -> frozenset[str]:
        """Return the present columns of a table that did not exist yet in a layout of it."""

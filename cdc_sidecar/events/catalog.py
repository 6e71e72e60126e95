"""What the assembler must ask others in mid-stream: the catalog's facts, and the topics'."""

from dataclasses import dataclass
from typing import Protocol

from cdc_sidecar.postgres.pgoutput import Relation
from cdc_sidecar.postgres.types import LayoutFacts


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What the broker says about a topic."""

    partitions: int
    max_message_bytes: int


class Catalog(Protocol):
    """Answers the assembler's questions; both methods may ask the network and may take long.

    An answer that is not to be had is a SidecarError: the frame that needed it is refused.
    """

    def layout_facts(self, relation: Relation) -> LayoutFacts:
        """Return what Postgres's catalog says now about a relation layout."""

    def topic_facts(self, name: str) -> TopicFacts:
        """Return the facts of a topic, which exists from then on."""

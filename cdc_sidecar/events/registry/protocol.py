"""The protocol of a schema registry; the built-in one is its first implementation."""

from typing import Protocol

from cdc_sidecar.events.schema import SchemaId


class Registry(Protocol):
    """Gives ids to schemas; the same schema always gets the same id.

    `register` may ask the network and may take long. It can be called again after it raised.
    """

    def register(self, subject: str, schema: str) -> SchemaId:
        """Return the id of a schema in canonical JSON, as a version of `subject`.

        Raises:
            SidecarError: the registry refuses the schema, or cannot be reached.

        """

"""Reads outbox rows for the router: plain Python, and the definition of `_outbox.pyx`."""

from collections.abc import Mapping

from cdc_sidecar.errors import ProtocolViolation, Unrepresentable
from cdc_sidecar.events.outbox.router import EventRouter
from cdc_sidecar.events.ports import SourceTransaction
from cdc_sidecar.events.transcode import columns_of
from cdc_sidecar.postgres.frames import TUPLE_AT
from cdc_sidecar.postgres.pgoutput import UNCHANGED


class RowRouter:
    """Makes the events of the rows of one version of an outbox table.

    `places` are the columns by their roles; a `binary` payload is printed in hex.
    """

    def __init__(
        self, router: EventRouter, places: Mapping[str, int], width: int, *, binary: bool
    ) -> None:
        self._router = router
        self._places = places
        self._width = width
        self._is_binary = binary

    def add(self, transaction: SourceTransaction, frame: bytes) -> None:
        """Add the event of the row in an Insert; `frame` is the whole XLogData frame.

        Raises:
            OutboxEventRefused: the row has no route, or its payload does not fit.
            RecordTooLarge: the topic does not take it.

        """
        self._router.add(transaction, self._read(frame))

    def _read(self, frame: bytes) -> dict[str, bytes | None]:
        """Return the texts of the columns that have a role; a binary payload is decoded."""
        columns, end = columns_of(frame, TUPLE_AT)
        if end != len(frame) or len(columns) != self._width:
            raise ProtocolViolation(f"row message of {end} bytes does not fit its relation")
        row: dict[str, bytes | None] = {}
        for role, place in self._places.items():
            column = columns[place]
            if column is UNCHANGED:
                raise Unrepresentable(
                    f"a value that the server did not send, in column {role}",
                    cause="a row filter of the publication turned an UPDATE into an INSERT",
                    hint="publish the outbox without a row filter",
                )
            row[role] = column
        payload = row["payload"]
        if self._is_binary and payload is not None:
            row["payload"] = bytes.fromhex(payload[2:].decode())
        return row

"""The lines of a COPY, which become rows while they arrive."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from cdc_sidecar.errors import SidecarError, Unrepresentable
from cdc_sidecar.events.ports import TranscodedLine

_NO_ROW: Final[TranscodedLine] = (b"", None)


class CopiedLines:
    """Lines and their rows; the server prepares the next lines while some are transcoded.

    Used by the snapshot thread.
    """

    def __init__(
        self, transcode: Callable[[bytes], TranscodedLine] | None = None, *, parks: bool = False
    ) -> None:
        """Transcode each line; with `parks`, lines that are refused are kept for parking."""
        self.lines: list[bytes] = []
        self.refused: dict[int, Unrepresentable] = {}
        """The errors of lines without a row, by their places; `rows` has an empty one there."""
        self._rows: list[TranscodedLine] = []
        self._transcode = transcode
        self._parks = parks

    def transcode_some(self) -> None:
        """Transcode what has come. A row that is refused does not end the copy: `rows` raises."""
        with suppress(SidecarError):
            self._go_on()

    @property
    def rows(self) -> list[TranscodedLine]:
        """The rows of all lines.

        Raises:
            SidecarError: one of them is refused.

        """
        self._go_on()
        return self._rows

    def _go_on(self) -> None:
        if not self._transcode:
            return
        for line in self.lines[len(self._rows) :]:
            try:
                row = self._transcode(line)
            except Unrepresentable as error:
                if not self._parks:
                    raise
                self.refused[len(self._rows)] = error
                row = _NO_ROW
            self._rows.append(row)

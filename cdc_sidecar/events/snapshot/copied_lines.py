"""The lines of a COPY, which become rows while they arrive."""

from collections.abc import Callable
from contextlib import suppress

from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.ports import TranscodedLine


class CopiedLines:
    """Lines and their rows; the server prepares the next lines while some are transcoded.

    Used by the snapshot thread.
    """

    def __init__(self, transcode: Callable[[bytes], TranscodedLine] | None = None) -> None:
        self.lines: list[bytes] = []
        self._rows: list[TranscodedLine] = []
        self._transcode = transcode

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
        if self._transcode:
            for line in self.lines[len(self._rows) :]:
                self._rows.append(self._transcode(line))

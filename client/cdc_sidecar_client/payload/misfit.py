"""The error inside the package: a value does not fit, and where it is."""


class Misfit(ValueError):
    """A value does not fit its schema; `reason` says why, and never contains the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self._steps: list[str] = []

    def inside(self, step: str) -> "Misfit":
        """Return the same error, seen from one level above."""
        self._steps.append(step)
        return self

    @property
    def path(self) -> str:
        """The place in the payload."""
        return "$" + "".join(reversed(self._steps))

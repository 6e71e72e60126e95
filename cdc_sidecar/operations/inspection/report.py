"""The findings of an inspection, each reported as soon as it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from cdc_sidecar.checks.condition import Condition
from cdc_sidecar.errors import SidecarError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: the subject, what was seen, and the error if it is a fault.

    A finding with a warning is no fault.
    """

    subject: str
    detail: str
    error: SidecarError | None = None
    warning: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the finding for `--json`."""
        error = self.error
        return {
            "check": self.subject,
            "ok": error is None,
            "detail": self.detail if error is None else error.fact,
            "warning": self.warning or None,
            "code": error.code if error else None,
            "cause": error.cause if error else None,
            "hint": error.hint if error else None,
        }


class Listener(Protocol):
    """Receives the progress of an inspection."""

    def begun(self, subject: str) -> None:
        """Note that a check begins, which may take long."""

    def found(self, finding: Finding) -> None:
        """Note the finding of a check."""


class Report:
    """Runs checks, and passes on the finding of each."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.failed = False
        """Whether the last check has found a fault."""

    def attempt(self, subject: str, look: Callable[[], T], say: Callable[[T], str]) -> T | None:
        """Run one check; return what was seen, or None if it has found a fault."""
        self._listener.begun(subject)
        try:
            seen = look()
        except SidecarError as error:
            self.failed = True
            self._listener.found(Finding(subject, "", error))
            return None
        self.failed = False
        self._listener.found(Finding(subject, say(seen)))
        return seen

    def judge(self, conditions: Sequence[Condition[T]], seen: T) -> None:
        """Try every condition, whether or not those before it hold."""
        for condition in conditions:
            check, good = partial(condition.check, seen), condition.good(seen)
            self.attempt(condition.subject, check, partial(_say, good))

    def warn(self, subject: str, detail: str, warning: str) -> None:
        """Report something that is no fault, but that a person should know."""
        self._listener.found(Finding(subject, detail, warning=warning))


def _say(good: str, _seen: object) -> str:
    return good

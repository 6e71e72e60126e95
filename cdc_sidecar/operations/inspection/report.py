"""The findings of an inspection, each reported as soon as it is known."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Protocol, TypeVar

from cdc_sidecar.checks.advice import Advice
from cdc_sidecar.checks.condition import Condition
from cdc_sidecar.errors import SidecarError

T = TypeVar("T")


class Group(Enum):
    """What a check is about: its name in JSON."""

    CONFIGURATION = "configuration"
    POSTGRES = "postgres"
    KAFKA = "kafka"
    PUBLISHED = "published"
    HTTP = "http"


class Severity(Enum):
    """What a finding means for a start."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: its group and subject, and what was seen, or what is wrong with it."""

    group: Group
    subject: str
    seen: str | SidecarError | Advice

    @property
    def severity(self) -> Severity:
        """Whether it is a fault, a warning, or neither."""
        match self.seen:
            case SidecarError():
                return Severity.ERROR
            case Advice():
                return Severity.WARNING
            case str():
                return Severity.OK

    @property
    def fact(self) -> str:
        """What was seen."""
        return self.seen if isinstance(self.seen, str) else self.seen.fact

    def as_json(self) -> dict[str, str | None]:
        """Return the finding for `--json`; the keys are public."""
        seen = self.seen
        cause, hint = ("", "") if isinstance(seen, str) else (seen.cause, seen.hint)
        return {
            "group": self.group.value,
            "subject": self.subject,
            "severity": self.severity.value,
            "code": seen.code if isinstance(seen, SidecarError) else None,
            "warning": seen.name if isinstance(seen, Advice) else None,
            "fact": self.fact,
            "cause": cause or None,
            "hint": hint or None,
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
        self._group = Group.CONFIGURATION
        self.failed = False
        """Whether the last check has found a fault."""

    def begin(self, group: Group) -> None:
        """Note what the next checks are about."""
        self._group = group

    def attempt(self, subject: str, look: Callable[[], T], say: Callable[[T], str]) -> T | None:
        """Run one check; return what was seen, or None if it has found a fault."""
        self._listener.begun(subject)
        try:
            seen = look()
        except SidecarError as error:
            self.failed = True
            self._listener.found(Finding(self._group, subject, error))
            return None
        self.failed = False
        self._listener.found(Finding(self._group, subject, say(seen)))
        return seen

    def judge(self, conditions: Sequence[Condition[T]], seen: T) -> None:
        """Try every condition, whether or not those before it hold."""
        for condition in conditions:
            check, good = partial(condition.check, seen), condition.good(seen)
            self.attempt(condition.subject, check, partial(_say, good))

    def warn(self, advice: Iterable[Advice]) -> None:
        """Report what is no fault, but what a person should know."""
        for each in advice:
            self._listener.found(Finding(self._group, each.subject, each))


def _say(good: str, _seen: object) -> str:
    return good

"""The one tree of errors: each has a stable code, a disposition, the facts, and a hint.

Errors of psycopg, Kafka and pydantic are translated into these once, by the layer that receives
them, `from` the original. The codes are public API and are listed in `docs/reference/errors.md`.
"""

from enum import Enum
from typing import ClassVar


class Disposition(Enum):
    """What the daemon does about an error."""

    USAGE = "wrong usage or configuration"
    HALT = "a person must decide"
    GIVE_UP = "a restart may help"
    RETRY = "a new session after a back-off"

    @property
    def exit_status(self) -> int:
        """The process's exit status (contract, "Exit statuses")."""
        return {Disposition.USAGE: 2, Disposition.HALT: 3}.get(self, 4)


class SidecarError(Exception):
    """The root of the tree: a fact, where it was seen, its likely cause, and a hint.

    `fact` is lower case and ends with the value. It never contains a row value or a secret.
    `may_mend` marks a halt whose cause may end without a restart: credentials that somebody is
    replacing. The daemon retries for a while before it halts. `final` is the error with which it
    halts if a retry ends in the same way before anything was published.
    """

    code: ClassVar[str] = "CDC-000"
    title: ClassVar[str] = "error"
    disposition: ClassVar[Disposition] = Disposition.HALT
    advice: ClassVar[str] = ""  # the hint where an error has none of its own

    def __init_subclass__(cls, *, code: str = "", title: str = "") -> None:
        if code:
            cls.code, cls.title = code, title

    def __init__(self, fact: str, *, where: str = "", cause: str = "", hint: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.where = where
        self.cause = cause
        self.hint = hint or self.advice
        self.may_mend = False
        self.final: SidecarError | None = None

    @property
    def parts(self) -> dict[str, str]:
        """Its code, title, fact, place, cause and hint by name."""
        names = ("code", "title", "fact", "where", "cause", "hint")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        lines = [f"{self.code} {self.title}: {self.fact}"]
        for label, text in (("where", self.where), ("cause", self.cause), ("hint", self.hint)):
            if text:
                lines.append(f"  {label + ':':<7}" + text.replace("\n", "\n         "))
        return "\n".join(lines)


class RetryError(SidecarError):
    """The cause may pass: the session ends, and a new one begins after a back-off."""

    disposition = Disposition.RETRY
    advice = "nothing needs to be done: a running sidecar retries by itself"


class UsageError(SidecarError):
    """The usage or the configuration is wrong: exit status 2."""

    disposition = Disposition.USAGE


class HaltError(SidecarError):
    """A person must decide: exit status 3. Nothing is skipped, and nothing is created again."""

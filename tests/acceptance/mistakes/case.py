"""A mistake that a person makes, the code that `check` gives it, and how its hint mends it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.mistakes.stage import Stage


@dataclass(frozen=True)
class Sql:
    """A statement that the hint contains word by word."""

    statement: str


@dataclass(frozen=True)
class Toml:
    """A change of the configuration; the error contains `said`, or else the new text."""

    old: str
    new: str
    said: str = ""


@dataclass(frozen=True)
class Undo:
    """The sound configuration again; the error says what is to be corrected."""

    said: str


@dataclass(frozen=True)
class Do:
    """What the error asks for and a program must do in its own way."""

    said: str
    act: "Callable[[Stage], None]"


Mend = Sql | Toml | Undo | Do


@dataclass(frozen=True)
class Mistake:
    """A sound service with one mistake. Texts are templates: `$s` is the name of the service.

    `s` names schema, service, slot, publication and role alike. `sql` runs before `check`, `toml`
    has texts of the sound configuration and their replacements, `more` is appended to it, and
    `act` does what neither can.
    """

    name: str
    code: str
    mends: tuple[Mend, ...]
    sql: tuple[str, ...] = ()
    toml: tuple[tuple[str, str], ...] = ()
    more: str = ""
    act: "Callable[[Stage], None] | None" = None
    status: int = 1
    also: frozenset[str] = frozenset()  # further codes of the same mistake
    limited: bool = False  # the sidecar has a role of its own, with the least privileges

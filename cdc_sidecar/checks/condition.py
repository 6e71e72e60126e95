"""Conditions that a start must meet: `run` stops at the first fault, and `check` tries them all."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cdc_sidecar.errors import SidecarError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Condition(Generic[T]):
    """One condition: its subject, the check that raises if it does not hold, and what is good."""

    subject: str
    check: Callable[[T], None]
    good: Callable[[T], str]


def check_all(conditions: Sequence[Condition[T]], seen: T) -> None:
    """Raise the error of the first condition that does not hold."""
    for condition in conditions:
        condition.check(seen)


def faults_of(conditions: Sequence[Condition[T]], seen: T) -> Iterator[SidecarError]:
    """Yield the error of every condition that does not hold."""
    for condition in conditions:
        try:
            condition.check(seen)
        except SidecarError as error:
            yield error

"""The end of a session: a fence is judged while the session still has its lock."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdc_sidecar.errors import ProducerFenced, RivalTookOver, SidecarError
from cdc_sidecar.runtime import session as module
from cdc_sidecar.runtime.session import Session
from tests.unit.config_file import Loader


class Stream:
    """A stream whose publisher is fenced in its last commit, after a person stopped the sidecar."""

    beat = 0.0

    def __init__(self, steps: list[str], fail: Callable[[SidecarError], None]) -> None:
        self._steps = steps
        self._fail = fail

    def open(self) -> None:
        """Start replication."""

    def start(self, _number: int) -> None:
        """Start both threads."""

    def stop(self) -> None:
        """Let the publisher finish."""
        self._fail(ProducerFenced("another producer has the same transactional id"))
        self._steps.append("stop")

    def end(self) -> None:
        """Free slot and lock."""
        self._steps.append("end")

    def close(self) -> None:
        """Free the rest."""


class Telemetry:
    """Counts fences, and takes everything else that a session reports."""

    def __init__(self) -> None:
        self.fences = 0

    def of_session(self, _number: int) -> "Telemetry":
        """Return itself: one session is enough."""
        return self

    def phase_entered(self, *_arguments: object) -> None:
        """Do nothing."""

    def producer_fenced(self) -> None:
        """Count it."""
        self.fences += 1


@pytest.mark.parametrize(
    ("holds", "error"), [(True, ProducerFenced), (False, RivalTookOver)], ids=["alone", "rival"]
)
def test_a_fence_in_the_last_commit_is_counted_and_judged_before_the_lock_is_freed(
    monkeypatch: pytest.MonkeyPatch, loader: Loader, *, holds: bool, error: type[SidecarError]
) -> None:
    steps, telemetry, stopping = list[str](), Telemetry(), threading.Event()
    stopping.set()

    @contextmanager
    def connection() -> Iterator[object]:
        steps.append("judge")
        yield SimpleNamespace(execute=lambda *_: SimpleNamespace(fetchone=lambda: (holds,)))

    database = SimpleNamespace(connection=connection)
    resources = SimpleNamespace(
        config=loader.load(), telemetry=telemetry, database=database, stopping=stopping
    )
    monkeypatch.setattr(module, "Stream", lambda *arguments: Stream(steps, arguments[-1]))
    monkeypatch.setattr("cdc_sidecar.runtime.standby.holds_lock", lambda *_: holds)
    monkeypatch.setattr(Session, "_begin", lambda *_: None)
    session = Session(cast("Any", resources), 1)
    started = SimpleNamespace(connection=SimpleNamespace(backend_pid=1))
    session._stream(cast("Any", started))  # noqa: SLF001 - the part after the claim
    assert steps == ["stop", "judge", "end"]
    assert telemetry.fences == 1
    with pytest.raises(error):
        session._failure.raise_if_any()  # noqa: SLF001 - as `run` does

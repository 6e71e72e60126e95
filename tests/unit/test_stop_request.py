"""The main thread's looks for a stop are its beats; those of other threads are not."""

import threading

import pytest

from cdc_sidecar.runtime import stop_request
from cdc_sidecar.runtime.stop_request import StopRequest


def test_the_main_thread_beats_while_it_waits_and_when_it_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stop_request, "_SLICE", 0.001)
    beats: list[str] = []
    request = StopRequest(lambda: beats.append(threading.current_thread().name))
    assert not request.wait(0.02)
    waited = len(beats)
    assert waited > 1
    assert not request.is_set()
    assert len(beats) == waited + 1
    request.set()
    assert request.wait()
    assert request.is_set()


def test_another_thread_that_looks_is_no_beat_of_the_main_thread() -> None:
    beats: list[str] = []
    request = StopRequest(lambda: beats.append("beat"))
    other = threading.Thread(target=lambda: (request.is_set(), request.wait(0.001)))
    other.start()
    other.join()
    assert not beats

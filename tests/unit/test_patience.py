"""Refused credentials are tried again for a while; an error that comes again and again halts."""

import pytest

from cdc_sidecar.errors import (
    KafkaRefused,
    KafkaUnavailable,
    RecordTooLarge,
    SidecarError,
    TransactionFailed,
)
from cdc_sidecar.runtime.patience import PATIENCE, PATIENCE_WITH_FILES, Patience
from tests.unit.config_file import Loader


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Yield the time that the module sees."""
    now = [1000.0]
    monkeypatch.setattr("cdc_sidecar.runtime.patience.time.monotonic", lambda: now[0])
    return now


def _refused() -> SidecarError:
    error = KafkaRefused("wrong password")
    error.may_mend = True
    return error


def _lost() -> TransactionFailed:
    error = TransactionFailed("too large")
    error.final = RecordTooLarge("too large")
    return error


@pytest.mark.parametrize(
    ("client", "seconds"),
    [
        ('"sasl.password" = "x"', PATIENCE),
        ('"ssl.ca.location" = "/etc/ca.pem"', PATIENCE_WITH_FILES),
    ],
)
def test_refused_credentials_are_tried_again_longer_if_files_hold_them(
    loader: Loader, clock: list[float], client: str, seconds: float
) -> None:
    patience = Patience(loader.load(f"[kafka.client]\n{client}\n"))
    assert patience.retries(_refused())
    clock[0] += seconds - 1
    assert patience.retries(_refused())
    clock[0] += 1
    assert not patience.retries(_refused())
    patience.judge(_refused(), 0, streamed=True)
    assert patience.retries(_refused()), "a session that streamed begins the time anew"


def test_an_outage_is_always_retried_and_another_refusal_never(
    loader: Loader, clock: list[float]
) -> None:
    patience = Patience(loader.load())
    for _ in range(3):
        assert patience.retries(KafkaUnavailable("away"))
        clock[0] += 3600
    assert not patience.retries(KafkaRefused("replication factor"))


def test_what_comes_again_without_progress_halts(loader: Loader) -> None:
    patience = Patience(loader.load())
    assert isinstance(patience.judge(_lost(), 5, streamed=True), TransactionFailed)
    assert isinstance(patience.judge(_lost(), 6, streamed=True), TransactionFailed)
    assert isinstance(patience.judge(KafkaUnavailable("away"), 6, streamed=False), KafkaUnavailable)
    assert isinstance(patience.judge(_lost(), 6, streamed=True), RecordTooLarge)

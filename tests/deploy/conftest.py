"""Secrets that exist on no machine of a test."""

import pytest


@pytest.fixture
def secrets_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the mounted files and the variables of the configurations be readable."""
    for reader in ("_read_file", "_read_variable"):
        monkeypatch.setattr(f"cdc_sidecar.config.secret.{reader}", lambda _place: "secret")

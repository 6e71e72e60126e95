"""Hypothesis without its deadline, because no test here promises a time; the shared fixture."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.unit.config_file import Loader

settings.register_profile("unit", deadline=None, max_examples=80)
settings.load_profile("unit")


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    """Return a loader of one file."""
    return Loader(tmp_path)

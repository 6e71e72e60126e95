"""The source that tests of values and layouts share."""

from collections.abc import Iterator

import pytest

from tests.integration.source import Source, source_of


@pytest.fixture
def source(database: str) -> Iterator[Source]:
    """Return an empty database."""
    with source_of(database) as opened:
        yield opened

"""A configuration file that tests write and load."""

from pathlib import Path

import pytest

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import ConfigInvalid

MINIMAL = """
[service]
name = "orders"
[postgres]
dsn = "host=db dbname=orders"
slot = "orders_cdc"
publication = "orders_cdc"
[kafka]
bootstrap_servers = "kafka:9092"
[[tables]]
name = "public.orders"
columns = ["*"]
"""


class Loader:
    """Writes a file and loads it."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`."""
        self.path = folder / "config.toml"

    def load(self, text: str = "", environment: dict[str, str] | None = None) -> Config:
        """Load the minimal file followed by `text`."""
        return self.load_alone(MINIMAL + text, environment)

    def load_alone(self, text: str, environment: dict[str, str] | None = None) -> Config:
        """Load `text` alone."""
        self.path.write_text(text, encoding="utf-8")
        return load_config(self.path, environment or {})

    def mistakes(self, text: str, environment: dict[str, str] | None = None) -> list[str]:
        """Return the mistakes of the minimal file followed by `text`."""
        with pytest.raises(ConfigInvalid) as invalid:
            self.load(text, environment)
        return [line.removeprefix("  - ") for line in invalid.value.fact.splitlines()[1:]]

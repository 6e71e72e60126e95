"""Every committed change of one Postgres, in Kafka exactly once, from one small container."""

from importlib.metadata import version

__version__ = version("cdc-sidecar")

"""Every committed change of one Postgres, in Kafka exactly once, from one small container."""

__version__: str


def __getattr__(name: str) -> str:
    """Return `__version__`, which is read on first use: signals are taken before slow imports."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version  # noqa: PLC0415 - as the docstring says

    return version("cdc-sidecar")

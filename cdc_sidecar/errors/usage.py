"""Errors 1xx: usage and configuration."""

from cdc_sidecar.errors.tree import RetryError, UsageError


class ConfigUnreadable(UsageError, code="CDC-101", title="configuration cannot be read"):
    """The configuration file is missing, cannot be read, or is not TOML."""


class ConfigInvalid(UsageError, code="CDC-102", title="configuration is not valid"):
    """The configuration has wrong keys or values; the error lists every mistake."""


class SecretUnavailable(RetryError, code="CDC-103", title="secret cannot be read"):
    """A `{ file = … }` or `{ env = … }` could not be read when a connection was opened."""


class FailpointInvalid(UsageError, code="CDC-104", title="failpoint specification is not valid"):
    """CDC_SIDECAR_FAILPOINTS names an unknown failpoint or an unknown action."""


class ConfigUnwritable(UsageError, code="CDC-105", title="configuration cannot be written"):
    """`init` was asked to write a file that exists, or that cannot be written."""


class DatabaseNeeded(UsageError, code="CDC-106", title="SQL depends on the database"):
    """`setup-sql` cannot know the tables of a glob, and was not allowed to ask the database."""


class ReloadRefused(UsageError, code="CDC-107", title="configuration needs a restart"):
    """Keys changed that a running sidecar cannot take over."""


class TablesRefused(UsageError, code="CDC-110", title="tables cannot be captured as configured"):
    """Tables cannot be captured as they are configured; the error lists every mistake."""

    advice = "do what each line says, and run `cdc-sidecar check` again"


class HttpUnavailable(UsageError, code="CDC-120", title="HTTP address cannot be bound"):
    """The address of `[http] listen` cannot be bound, or its certificate cannot be used."""


class SidecarRefuses(UsageError, code="CDC-121", title="sidecar refuses the credentials"):
    """A running sidecar answers a command, but requires other credentials."""


class HttpUnasked(UsageError, code="CDC-122", title="HTTP address cannot be asked"):
    """The port of `[http] listen` is 0, so that no command can know the one that was taken."""


class DemoUnavailable(UsageError, code="CDC-130", title="demo cannot run"):
    """The extra `demo` is not installed, or the folder of the demo cannot be used."""


class ServerFailed(UsageError, code="CDC-131", title="local server failed"):
    """A server of the demo, the tests or the benchmarks did not start, answer or stop."""

"""Errors 2xx: Postgres."""

from cdc_sidecar.errors.tree import HaltError, RetryError


class PostgresUnavailable(RetryError, code="CDC-201", title="Postgres is not available"):
    """Postgres cannot be reached, refuses connections for now, or closed the connection."""

    advice = (
        "start the server, or correct postgres.dsn and the network; a running sidecar retries by"
        " itself"
    )


class PostgresRefused(HaltError, code="CDC-202", title="Postgres refuses the connection"):
    """Postgres refuses our credentials, database or role; a retry would not help."""


class SlotBusy(RetryError, code="CDC-203", title="replication slot is in use"):
    """Another connection reads the slot (SQLSTATE 55006)."""


class SlotMissing(HaltError, code="CDC-204", title="replication slot is missing"):
    """The slot does not exist: it was dropped, or `create_slot` is false at the first start."""


class SlotLost(HaltError, code="CDC-205", title="replication slot is lost"):
    """The server invalidated the slot and removed WAL that was not read."""


class SlotUnfit(HaltError, code="CDC-206", title="replication slot is not suitable"):
    """The slot is not a pgoutput slot of this database."""


class PublicationMissing(HaltError, code="CDC-207", title="publication is missing"):
    """The publication does not exist, or did not exist when the WAL was written."""


class PublicationIncomplete(
    HaltError, code="CDC-208", title="publication does not cover the configuration"
):
    """The publication lacks a configured table, column or operation."""


class PermissionMissing(HaltError, code="CDC-209", title="permission is missing"):
    """The role lacks a privilege (SQLSTATE 42501)."""


class WalLevelTooLow(HaltError, code="CDC-210", title="wal_level is not logical"):
    """The server does not run with wal_level = logical."""


class ServerUnsupported(HaltError, code="CDC-211", title="Postgres version is not supported"):
    """The server's version is outside the supported range."""


class PostgresBusy(RetryError, code="CDC-212", title="Postgres cannot do this now"):
    """Postgres is there, but a time-out, a lock or a lack of resources ended a query."""


class ServerLimitReached(HaltError, code="CDC-213", title="limit of the server is reached"):
    """A limit that only an operator can raise, such as max_replication_slots, is reached."""


class ServiceEndangered(HaltError, code="CDC-214", title="service would be harmed"):
    """Statements of the service fail, or would wait, because of what the sidecar needs."""


class ProtocolViolation(HaltError, code="CDC-220", title="replication stream is not understood"):
    """A message of the replication protocol is unknown or contradicts another."""

    advice = "there is no cure: report it with the log"

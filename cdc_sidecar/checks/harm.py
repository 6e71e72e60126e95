"""What a publication and a replication connection can do to the service, and must not."""

from collections.abc import Iterable

from cdc_sidecar.errors import ServiceEndangered
from cdc_sidecar.postgres.replica_identity import Member
from cdc_sidecar.postgres.server import SourceServer


def check_members(members: Iterable[Member]) -> None:
    """Check that the service can change the rows of every published table.

    Raises:
        ServiceEndangered: its UPDATE or DELETE fails; the hint has the SQL that cures it.

    """
    refused = [member for member in members if member.refusal]
    if refused:
        raise ServiceEndangered(
            "; ".join(f"{' and '.join(m.changes)} on {m.name} fails: {m.refusal}" for m in refused),
            cause="Postgres refuses to change rows that the publication could not send",
            hint="; ".join(dict.fromkeys(member.cure for member in refused)),
        )


def check_not_synchronous(server: SourceServer) -> None:
    """Check that commits of the service do not wait for the sidecar.

    Raises:
        ServiceEndangered: its replication connection would be a synchronous standby.

    """
    if server.waits_for_us:
        names = server.synchronous_standby_names
        raise ServiceEndangered(
            f"synchronous_standby_names = '{names}' includes {server.application_name}",
            cause="commits of the service would wait until their events are in Kafka",
            hint="name only the standby servers in synchronous_standby_names, or set another"
            " application_name in postgres.dsn",
        )

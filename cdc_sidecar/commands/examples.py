"""Examples of each command, which its `--help` and `cdc-sidecar help` show."""

from collections.abc import Mapping
from typing import Final

_EXAMPLES: Final[Mapping[str, Mapping[str, str]]] = {
    "init": {
        "cdc-sidecar init": "write ./cdc-sidecar.toml with an example table",
        'cdc-sidecar init --dsn "host=db dbname=orders user=postgres"': "propose the tables of a"
        " database, with their keys",
    },
    "run": {
        "cdc-sidecar run": "stream, with ./cdc-sidecar.toml or CDC_SIDECAR_CONFIG",
        "cdc-sidecar run -c orders.toml --bootstrap": "start for the first time from a slot that"
        " was created by hand",
    },
    "tail": {
        "cdc-sidecar tail": "print the next events of the service",
        "cdc-sidecar tail public.orders --from-beginning -n 10": "print the first ten events of a"
        " table",
        "cdc-sidecar tail --json | jq .value.after": "print JSON, as a pipe always gets it",
    },
    "parked": {
        "cdc-sidecar parked": "show every parked event, why it is there, and how to send it again",
        "cdc-sidecar parked public.orders --json | jq .after": "print whole rows",
    },
    "check": {
        "cdc-sidecar check": "test everything that run needs",
        "cdc-sidecar check --json": "the same for programs",
    },
    "setup-sql": {
        "cdc-sidecar setup-sql | psql -d orders": "prepare a database",
        "cdc-sidecar setup-sql --diff": "print what is missing after the configuration changed",
        "cdc-sidecar setup-sql --outbox table": "print the outbox, and a function that emits",
    },
    "status": {
        "cdc-sidecar status": "say in one sentence how the sidecar is, then show details",
        "cdc-sidecar status --json | jq .slot": "the same for programs",
        "cdc-sidecar status > /dev/null || echo down": "exit status 0: it streams or stands by",
    },
    "health": {
        "cdc-sidecar health": "exit status 0: the process works, even while it waits",
        "cdc-sidecar health --ready": "exit status 0: it streams or stands by",
    },
    "position show": {"cdc-sidecar position show": "show whether the sidecar can continue"},
    "position accept-gap": {
        "cdc-sidecar position accept-gap": "show the gap",
        'cdc-sidecar position accept-gap --yes --reason "slot dropped"': "continue after it",
    },
    "position reset": {
        "cdc-sidecar position reset --to 0/15293B8": "show what would be skipped or repeated",
    },
    "position move-slot": {"cdc-sidecar position move-slot": "show what the move would do"},
    "outbox status": {"cdc-sidecar outbox status": "show rows, age and size of every outbox"},
    "outbox prune": {
        "cdc-sidecar outbox prune --older-than 1h": "remove what was published an hour ago",
        "cdc-sidecar outbox prune public.outbox --older-than 0s": "remove all that is published",
    },
    "snapshot start": {
        "cdc-sidecar snapshot start public.orders --dry-run": "show how it would be read",
        "cdc-sidecar snapshot start public.orders": "send all of its rows",
        "cdc-sidecar snapshot start public.orders --where \"status = 'open'\"": "send some of them",
    },
    "snapshot pause": {"cdc-sidecar snapshot pause": "read nothing more for now"},
    "snapshot resume": {"cdc-sidecar snapshot resume public.orders": "go on with one table"},
    "snapshot cancel": {"cdc-sidecar snapshot cancel public.orders": "give one table up"},
    "snapshot rate": {
        "cdc-sidecar snapshot rate 5000": "read 5,000 rows in a second at most",
        "cdc-sidecar snapshot rate 0": "read as fast as configured",
    },
    "snapshot status": {"cdc-sidecar snapshot status": "show a bar for each table"},
    "teardown": {
        "cdc-sidecar teardown": "list what would be removed",
        "cdc-sidecar teardown --yes": "remove it",
    },
    "demo": {"cdc-sidecar demo --seconds 20": "watch for 20 seconds, then see the verdict"},
}


def examples(command: str) -> str:
    """Return the examples of a command as the text below its help."""
    shown = [f"{call}  # {effect}" for call, effect in _EXAMPLES[command].items()]
    return "\n\n".join(["Examples:", *shown])

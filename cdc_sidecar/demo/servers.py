"""The real servers of the demo, the tests and the benchmarks: Postgres 18 and Kafka 4.3.1.

They come from package registries alone (the extra `demo`), listen on 127.0.0.1 only, and die with
the process that started them. `python -m cdc_sidecar.demo.servers clean` removes what was left
outside the clone.
"""

import sys

from cdc_sidecar.demo.host import ServerError, clean_environment, free_port
from cdc_sidecar.demo.kafka_cluster import KafkaCluster
from cdc_sidecar.demo.kafka_server import KafkaBroker
from cdc_sidecar.demo.postgres_installation import installed_postgres
from cdc_sidecar.demo.postgres_server import PostgresServer
from cdc_sidecar.demo.scratch import remove_scratch_folder, scratch_folder

__all__ = [
    "KafkaBroker",
    "KafkaCluster",
    "PostgresServer",
    "ServerError",
    "clean_environment",
    "free_port",
    "installed_postgres",
    "scratch_folder",
]


def main(arguments: list[str]) -> int:
    """Run `clean`, the one command; returns the exit status."""
    if arguments != ["clean"]:
        print("usage: python -m cdc_sidecar.demo.servers clean", file=sys.stderr)  # noqa: T201
        return 2
    remove_scratch_folder()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

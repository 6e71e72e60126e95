"""Two commands for make, which users do not need.

`python -m cdc_sidecar.servers clean` removes the files that servers left outside the clone.
`python -m cdc_sidecar.servers prepare` halves the time that every later broker takes to start.
"""

import sys

from cdc_sidecar.servers.kafka_prepared import prepare_kafka
from cdc_sidecar.servers.scratch import remove_scratch_folder

_COMMANDS = {"clean": remove_scratch_folder, "prepare": prepare_kafka}


def main(arguments: list[str]) -> int:
    """Run a command; return the exit status."""
    match arguments:
        case [("clean" | "prepare") as name]:
            _COMMANDS[name]()
            return 0
        case _:
            usage = "usage: python -m cdc_sidecar.servers clean|prepare"
            print(usage, file=sys.stderr)  # noqa: T201 - for the user
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

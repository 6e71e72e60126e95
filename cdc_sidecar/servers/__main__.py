"""`python -m cdc_sidecar.servers clean`: remove the files that servers left outside the clone."""

import sys

from cdc_sidecar.servers.scratch import remove_scratch_folder


def main(arguments: list[str]) -> int:
    """Run `clean`, the only command; return the exit status."""
    if arguments != ["clean"]:
        print("usage: python -m cdc_sidecar.servers clean", file=sys.stderr)  # noqa: T201 - for the user
        return 2
    remove_scratch_folder()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

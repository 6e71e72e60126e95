"""The sidecar without long pauses between its sessions: `python -m tests.acceptance.hasty run`."""

from cdc_sidecar.cli import main
from cdc_sidecar.runtime import daemon

PROGRAM = ("tests.acceptance.hasty",)

if __name__ == "__main__":
    for name in ("FIRST_BACKOFF", "LAST_BACKOFF"):
        assert hasattr(daemon, name)
        setattr(daemon, name, 0.1)
    main()

"""The sidecar with a curve that fills in seconds: `python -m tests.acceptance.sampled run`."""

from cdc_sidecar.cli import main
from cdc_sidecar.runtime import history

PROGRAM = ("tests.acceptance.sampled",)
STEP = 0.3
"""Seconds between two samples."""

if __name__ == "__main__":
    assert hasattr(history, "STEP")
    history.STEP = STEP  # type: ignore[misc] # a constant
    main()

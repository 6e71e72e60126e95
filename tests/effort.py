"""The length of the tests, short or full (CDC_SIDECAR_LONG=1), and their random numbers."""

import os
import random

LONG = os.environ.get("CDC_SIDECAR_LONG") == "1"
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 10**6))


def chance(*salt: object) -> random.Random:
    """Return a generator seeded with SEED; print the seed, so that the run can be repeated."""
    print(f"SEED={SEED} draws the same again")
    return random.Random(f"{SEED}/{'/'.join(map(str, salt))}")  # noqa: S311 - a reproducible test

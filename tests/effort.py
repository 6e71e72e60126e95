"""How thorough the tests are: brief in CI, in full with CDC_SIDECAR_LONG=1; what chance draws."""

import os
import random

LONG = os.environ.get("CDC_SIDECAR_LONG") == "1"
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 10**6))


def chance(*salt: object) -> random.Random:
    """Return a generator that draws the same for the same SEED, and say how to repeat it."""
    print(f"SEED={SEED} draws the same again")
    return random.Random(f"{SEED}/{'/'.join(map(str, salt))}")  # noqa: S311 - a reproducible test

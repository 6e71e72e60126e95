"""Hypothesis without its deadline: no test here promises a time."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=80)
settings.load_profile("unit")

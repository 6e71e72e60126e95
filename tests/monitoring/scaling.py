"""The alert rules with all durations divided by a factor, so that a test need not wait for hours.

Scaled are `for`, ranges, subqueries and offsets. Thresholds, and everything else of an expression,
stay as they are: a lag of 60 seconds takes 60 seconds. Prometheus scrapes and evaluates faster by
the same factor, so that a range has as many samples as in production.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

ALERTS: Final = Path(__file__).parents[2] / "deploy" / "monitoring" / "alerts.yaml"
_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_IN_EXPRESSION: Final = re.compile(r"(?<=\[)[^\]]+(?=\])|(?<=offset )\w+")
"""What is in brackets, and what follows `offset`."""


def scaled_rules(factor: float) -> str:
    """Return the text of a rule file whose durations are shorter by a factor."""
    rules: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = scaled(rule["for"], factor)
            rule["expr"] = _IN_EXPRESSION.sub(lambda found: scaled(found[0], factor), rule["expr"])
    return yaml.safe_dump(rules, sort_keys=False)


def scaled(text: str, factor: float) -> str:
    """Return durations such as `5m`, or `1d:5m`, divided by a factor."""
    return _DURATION.sub(lambda found: f"{round(_milliseconds(*found.groups()) / factor)}ms", text)


def _milliseconds(number: str, unit: str) -> int:
    return int(number) * _UNITS[unit]


def alerts() -> dict[str, dict[str, Any]]:
    """Return each alert by its name."""
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}

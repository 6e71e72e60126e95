"""`make test-versions`: the core of the tests on other versions; prints a table of the results.

`python -m tests.versions servers` takes pairs of Postgres and Kafka, and `python -m tests.versions
pythons` takes Python versions with the lowest and the newest dependencies. Without a word, both.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cdc_sidecar.servers.kafka_download import OTHER_JARS
from cdc_sidecar.servers.kafka_jars import KAFKA_VERSION
from cdc_sidecar.servers.postgres_installation import OTHER_PROGRAMS
from tests.versions.pythons import Environment, environments
from tests.versions.servers import fetch_kafka, fetch_postgres, has_programs

PAIRS = (
    ("14.23.0", "3.3.2"),
    ("15.18.0", "3.9.1"),
    ("16.14.0", "4.0.2"),
    ("17.10.0", KAFKA_VERSION),
    ("14.23.0", KAFKA_VERSION),
    ("18.6.0", "3.3.2"),
    ("18.6.0", KAFKA_VERSION),
)
"""From the oldest to the newest of both, and the oldest of each with the newest of the other."""
CORE = (
    *("acceptance/test_exactly_once.py", "acceptance/test_events.py"),
    *("acceptance/test_outbox_shapes.py", "acceptance/test_snapshot.py"),
    *("acceptance/test_transactions.py", "acceptance/test_takeover.py"),
    *("acceptance/test_served_schemas.py", "integration/test_values.py"),
)
"""Delivery, events, outboxes, snapshots, faults of transactions, take-over, schemas, types."""
_ROOT = Path(__file__).parents[2]
_PROCESSES = "4"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of tests came to."""

    subject: str
    passed: bool
    summary: str  # pytest's closing line
    seconds: float


def _on_servers() -> Iterator[Outcome]:
    if not has_programs():
        print("skipped: Maven Central has no Postgres for this machine")
        return
    for postgres, kafka in PAIRS:
        variables = {OTHER_PROGRAMS: str(fetch_postgres(postgres))}
        if kafka != KAFKA_VERSION:
            variables[OTHER_JARS] = str(fetch_kafka(kafka))
        paths = [str(_ROOT / "tests" / path) for path in CORE]
        options = ["--numprocesses", _PROCESSES, "--dist", "loadfile"]
        command = [sys.executable, "-m", "pytest", "-q", *options, *paths]
        yield _run(f"Postgres {postgres}, Kafka {kafka}", command, variables)


def _on_pythons() -> Iterator[Outcome]:
    for environment in environments():
        if environment.missing:
            yield Outcome(environment.name, passed=True, summary=environment.missing, seconds=0)
            continue
        yield from _in_environment(environment)


def _in_environment(environment: Environment) -> Iterator[Outcome]:
    """Test an environment; warnings are not errors, because old libraries meet new ones in it."""
    began = time.monotonic()
    failure = environment.make()
    if failure:
        yield Outcome(environment.name, False, failure, time.monotonic() - began)  # noqa: FBT003 - not passed
        return
    tests = [str(_ROOT / "tests" / path) for path in environment.tests]
    options = ["-q", "-W", "default", "--numprocesses", _PROCESSES, "--dist", "loadfile"]
    yield _run(environment.name, [environment.python, "-m", "pytest", *options, *tests], {})


def _run(subject: str, command: list[str], variables: dict[str, str]) -> Outcome:
    """Run tests; their output goes on to ours."""
    print(f"\n=== {subject}", flush=True)
    began, lines = time.monotonic(), [""]
    with subprocess.Popen(
        command, env={**os.environ, **variables}, cwd=_ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.strip(" =\n") or lines[-1])
    return Outcome(subject, process.returncode == 0, lines[-1], time.monotonic() - began)


_AXES: dict[str, Callable[[], Iterator[Outcome]]] = {"servers": _on_servers, "pythons": _on_pythons}


def main(words: list[str]) -> int:
    """Run the axes that are named, or all; return the exit status."""
    outcomes = [outcome for word in words or _AXES for outcome in _AXES[word]()]
    print()
    for outcome in outcomes:
        mark = "ok    " if outcome.passed else "FAILED"
        print(f"{mark} {outcome.subject:<44} {outcome.seconds:5.0f} s  {outcome.summary}")
    return int(not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

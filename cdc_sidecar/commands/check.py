"""`cdc-sidecar check`: tries everything live, and prints a line for each check."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import typer

from cdc_sidecar.checks.advice import Advice
from cdc_sidecar.commands.progress import Progress
from cdc_sidecar.commands.sidecar_client import ask_status
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import HttpUnavailable, SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.http.server import try_address
from cdc_sidecar.logs import configure_quietly
from cdc_sidecar.operations.inspection import Finding, Group, Report, Severity, inspect
from cdc_sidecar.wording import number

VERSION: Final = 1
"""Of the JSON: it changes when a key changes its meaning or disappears."""

_INVALID: Final = 2  # the exit status if the configuration cannot be used, as of every command
_FAULT: Final = 1

_TITLES: Final[Mapping[Group, str]] = {
    Group.CONFIGURATION: "Configuration",
    Group.POSTGRES: "Postgres",
    Group.KAFKA: "Kafka",
    Group.PUBLISHED: "Schemas, snapshots and position",
    Group.HTTP: "HTTP",
}
_MARKS: Final[Mapping[Severity, tuple[str, str]]] = {
    Severity.OK: ("ok   ", "green"),
    Severity.WARNING: ("warn ", "yellow"),
    Severity.ERROR: ("FAULT", "red"),
}
_INDENT: Final = " " * 9  # up to the column of subjects
_WIDTH: Final = 28  # of the column of subjects; a longer subject, such as a topic, moves its line


def check(path: Path, *, as_json: bool, write: Callable[[str], None] = typer.echo) -> int:
    """Write every finding; return 2 if the configuration cannot be used, or 1 if there is a fault.

    `write` is called with the text of one or several lines.
    """
    configure_quietly()
    with Progress() as progress:
        printer = _Printer(progress, write, quiet=as_json)
        is_valid = _check_all(path, Report(printer))
    faults = printer.conclude()
    return _FAULT if faults and is_valid else _INVALID if faults else 0


def _check_all(path: Path, report: Report) -> bool:
    """Make every check; return whether the configuration can be used."""
    read = report.attempt("file", lambda: _read(path), lambda it: _say(path, it[0]))
    if read is not None:
        config, capture = read
        inspect(config, capture, report)
        report.begin(Group.HTTP)
        report.attempt("address", lambda: _try_address(config), lambda how: how)
    return read is not None


class _Printer:
    """Prints findings as they come, or all of them as JSON at the end."""

    def __init__(self, progress: Progress, write: Callable[[str], None], *, quiet: bool) -> None:
        self._progress = progress
        self._write = write
        self._quiet = quiet
        self._findings: list[Finding] = []

    def begun(self, subject: str) -> None:
        """Show that a check takes long, if it does."""
        self._progress.begin(subject)

    def found(self, finding: Finding) -> None:
        """Print the finding, below the title of its group."""
        self._progress.end()
        last = self._findings[-1] if self._findings else None
        self._findings.append(finding)
        if self._quiet:
            return
        if last is None or last.group is not finding.group:
            title = typer.style(_TITLES[finding.group], bold=True)
            self._write(f"\n{title}" if last else title)
        self._write(_line(finding))

    def conclude(self) -> int:
        """Print the sum; return the number of faults."""
        counts = Counter(finding.severity for finding in self._findings)
        faults, warnings = counts[Severity.ERROR], counts[Severity.WARNING]
        if self._quiet:
            self._write(json.dumps(self._as_json(faults, warnings), indent=2))
        else:
            sums = (number(faults, "fault"), number(warnings, "warning"))
            self._write(f"\n{number(len(self._findings), 'check')}, {', '.join(sums)}")
        return faults

    def _as_json(self, faults: int, warnings: int) -> dict[str, object]:
        checks = [finding.as_json() for finding in self._findings]
        sums = {"faults": faults, "warnings": warnings}
        return {"version": VERSION, "ok": not faults, **sums, "checks": checks}


def _line(finding: Finding) -> str:
    """Return the line of a finding, with cause and hint below it."""
    mark, colour = _MARKS[finding.severity]
    fact, *more = _texts_of(finding.seen)
    lines = [f"  {typer.style(mark, fg=colour)}  {finding.subject:<{_WIDTH}} {fact}", *more]
    return "\n".join(lines).replace("\n", f"\n{_INDENT}")


def _texts_of(seen: str | SidecarError | Advice) -> list[str]:
    """Return the fact, the cause and the hint."""
    if isinstance(seen, str):
        return [seen]
    fact = f"{seen.code} {seen.title}: {seen.fact}" if isinstance(seen, SidecarError) else seen.fact
    labelled = (("cause", seen.cause), ("hint", seen.hint))
    below = [f"{label + ':':<7}{text}" for label, text in labelled if text]
    return [fact, *below]


def _read(path: Path) -> tuple[Config, Capture]:
    config = load_config(path)
    return config, Capture.of(config)


def _say(path: Path, config: Config) -> str:
    """Return what the configuration captures."""
    tables, outboxes = len(config.tables), len(config.outboxes)
    return f"{path}, service {config.service.name}: [[tables]] {tables}, [[outboxes]] {outboxes}"


def _try_address(config: Config) -> str:
    """Bind the address as `run` does; our own running sidecar may have it."""
    try:
        try_address(config.http)
    except HttpUnavailable:
        status = ask_status(config)
        if status is None or status.get("service") != config.service.name:
            raise
        return f"{config.http.listen}, in use by the running sidecar"
    return config.http.listen

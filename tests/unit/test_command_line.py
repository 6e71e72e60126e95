"""The command line: where it finds the configuration, its help, its completion and its colours."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner, Result

from cdc_sidecar.cli import app
from cdc_sidecar.errors import ConfigUnreadable

_PROGRAM = Path(sys.executable).with_name("cdc-sidecar")
_CONFIG = """
[service]
name = "{name}"
[postgres]
dsn = "dbname={name}"
slot = "x"
publication = "{name}"
[kafka]
bootstrap_servers = "x:9092"
[messages]
prefixes = ["x"]
"""
_TYPED = {
    "COMP_WORDS": "cdc-sidecar st",
    "COMP_CWORD": "1",
    "_TYPER_COMPLETE_ARGS": "cdc-sidecar st",
    "_TYPER_COMPLETE_FISH_ACTION": "get-args",
}
"""What the completion scripts of the shells pass on."""


def _named(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - click's
    """Yield every command with its name; those of a group are named with it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _named(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


_COMMANDS = dict(_named(typer.main.get_command(app)))
_CONFIGURED = [
    name
    for name, command in _COMMANDS.items()
    if any("--config" in parameter.opts for parameter in command.params)
    if name not in ("init", "run")  # `init` writes the file, and `run` takes signals
]


def _run(folder: Path, *words: str, **environment: str) -> str:
    """Run the program in a folder; return everything that it printed."""
    plain = {name: text for name, text in os.environ.items() if name != "CDC_SIDECAR_CONFIG"}
    run = subprocess.run(
        [_PROGRAM, *words],
        cwd=folder,
        env={**plain, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return run.stdout + run.stderr


_REQUIRED = {
    "outbox prune": ("--older-than", "1h"),
    "position reset": ("--to", "0/1"),
    "snapshot start": ("public.orders",),
    "snapshot rate": ("5000",),
}
"""What commands need beside the configuration."""


def _invoke(*words: str, status: int = 0) -> Result:
    """Run the command line in this process."""
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, words, prog_name="cdc-sidecar")
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three configurations."""
    for file, name in {"cdc-sidecar.toml": "here", "b.toml": "named", "c.toml": "given"}.items():
        (tmp_path / file).write_text(_CONFIG.format(name=name), encoding="utf-8")
    return tmp_path


def test_the_option_precedes_the_variable_and_that_the_file_in_the_folder(folder: Path) -> None:
    assert 'CREATE PUBLICATION "here"' in _run(folder, "setup-sql")
    named = {"CDC_SIDECAR_CONFIG": "b.toml"}
    assert 'CREATE PUBLICATION "named"' in _run(folder, "setup-sql", **named)
    assert 'CREATE PUBLICATION "given"' in _run(folder, "setup-sql", "-c", "c.toml", **named)
    assert 'CREATE PUBLICATION "here"' in _run(folder, "setup-sql", CDC_SIDECAR_CONFIG="")


@pytest.mark.parametrize("name", _CONFIGURED)
def test_every_command_says_how_to_name_a_missing_configuration(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CDC_SIDECAR_CONFIG", raising=False)
    if name == "check":  # it reports the file like everything else that it checks
        told = _invoke(name, status=2).output
        assert "CDC-101 " in told
        assert "name the file with --config or CDC_SIDECAR_CONFIG" in told
        return
    error = _invoke(*name.split(), *_REQUIRED.get(name, ()), status=1).exception
    assert isinstance(error, ConfigUnreadable)
    assert error.fact == "cdc-sidecar.toml does not exist"
    for way in ("--config", "CDC_SIDECAR_CONFIG", "cdc-sidecar init"):
        assert way in error.hint


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_shows_each_command_with_examples_that_exist(name: str) -> None:
    printed = _invoke("help", *name.split()).output
    assert printed == _invoke(*name.split(), "--help").output
    if name != "help":
        assert "Examples:" in printed
        assert f"cdc-sidecar {name}" in printed


def test_help_names_every_command_and_refuses_one_that_does_not_exist() -> None:
    printed = _invoke("help").output
    assert all(name.split()[0] in printed for name in _COMMANDS)
    assert "[http]" in _invoke("help", "status").output
    assert "No such command" in _invoke("help", "nothing", status=2).output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_options_are_completed(shell: str, tmp_path: Path) -> None:
    shown = _run(tmp_path, _CDC_SIDECAR_COMPLETE=f"complete_{shell}", **_TYPED)
    assert "status" in shown
    assert "teardown" not in shown


def test_no_colour_is_printed_where_it_is_not_wanted(folder: Path) -> None:
    for environment in ({"NO_COLOR": "1"}, {}, {"TERM": "dumb"}):
        assert "\x1b" not in _run(folder, "help", **environment)


def test_run_imports_nothing_that_only_draws_for_a_terminal() -> None:
    lines = (
        "import sys, cdc_sidecar.cli, cdc_sidecar.commands.run",
        "print(*{name.partition('.')[0] for name in sys.modules})",
        "import rich",  # other modules still find it
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "structlog" in loaded
    assert {"rich", "pygments"}.isdisjoint(loaded)

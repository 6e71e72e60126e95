"""The documentation describes what exists: links, codes, metrics, commands, options and keys."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client.metrics_core import Metric

from cdc_sidecar.cli import app
from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config
from cdc_sidecar.config.outbox import OutboxColumns
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.metrics import Metrics, SidecarState
from cdc_sidecar.postgres.slot import SlotActivity
from tests.unit.error_tree import every_error
from tests.unit.test_example_config import keys_of
from tests.unit.test_watch import SLOT

ROOT = Path(__file__).parents[2]
_TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"), *(ROOT / name for name in _TOP)]
)
REFERENCE = ROOT / "docs" / "reference"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!`)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"CDC-\d{3}")
_METRIC = re.compile(r"cdc_sidecar_(?!client\b)[a-z_]+")  # the client is a package
_INLINE_COMMAND = re.compile(r"`((?:cdc-sidecar|python -m cdc_sidecar) [^`]+)`")
_TABLE_KEYS = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)
_WORD = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
_OF_OTHERS = {"exported_service", "pg_replslot", "synchronized_standby_slots"}
"""Names of Prometheus and Postgres."""
_SUFFIXES = ("_bucket", "_count", "_sum")

everywhere = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)


@everywhere
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(_without_blocks(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.is_relative_to(ROOT)
        assert found.is_file() or found.is_dir(), target
        if anchor:
            assert anchor in _anchors(found), target


@everywhere
def test_every_code_that_is_named_exists(page: Path) -> None:
    known = {error.code for error in every_error()}
    assert set(_CODE.findall(page.read_text(encoding="utf-8"))) <= known


@everywhere
def test_every_metric_that_is_named_exists(page: Path) -> None:
    blocks = "\n".join(text for kind, text in _blocks(page) if kind == "promql")
    inline = " ".join(re.findall(r"`([^`\n]+)`", _without_blocks(page)))
    named = set(_METRIC.findall(f"{blocks} {inline}"))
    known = {_exposed(metric) for metric in _metrics()}
    assert {_without_suffix(name) for name in named} - {_without_suffix(n) for n in known} == set()


@everywhere
def test_every_command_and_option_that_is_shown_exists(page: Path) -> None:
    commands = _commands()
    for line in _command_lines(page):
        words = [word for word in line[1:] if not word.startswith("-")]
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in commands), None)
        assert name or not words, " ".join(line)
        options = {word.split("=")[0] for word in line if word.startswith("-")}
        known = commands[name] if name else {"--version", "--help"}
        assert options <= known | {"--help"}, " ".join(line)


@everywhere
def test_every_configuration_that_is_shown_is_valid(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(text for kind, text in _blocks(page) if kind == "toml"):
        path = tmp_path / f"{number}.toml"
        for schema in re.findall(r'schema = "(.+\.avsc)"', text):
            (tmp_path / schema).write_text('{"type": "record", "name": "R", "fields": []}')
        path.write_text(text if "[service]" in text else _completed(text), encoding="utf-8")
        load_config(path, environment={})


@everywhere
def test_no_page_names_a_place_of_somebodys_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/(work|root|home|tmp)/", text)


@everywhere
def test_every_row_of_a_table_has_the_cells_of_its_head(page: Path) -> None:
    columns = 0
    for line in _without_blocks(page).splitlines():
        cells = re.sub(r"`[^`]*`", "", line).count("|") if line.startswith("|") else 0
        assert not (columns and cells) or cells == columns, line
        columns = cells


@pytest.mark.parametrize("name", ["monitor-it", "troubleshoot"])
def test_every_event_of_the_log_that_an_operator_looks_for_exists(name: str) -> None:
    sources = (ROOT / "cdc_sidecar").rglob("*.py")
    known = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(_WORD.findall(_without_blocks(ROOT / "docs" / "how-to" / f"{name}.md")))
    metrics = {_exposed(metric) for metric in _metrics()}
    assert {word for word in named - metrics - _OF_OTHERS if word not in known} == set()


def test_every_page_is_in_the_index() -> None:
    index = _LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/*/**/*.md")}
    listed = {page for page in pages if page.startswith("runbooks/CdcSidecar")}
    linked = {link for link in index if not link.startswith("../")}
    assert pages - listed == linked, "the index of the runbooks lists them"


def test_every_page_about_deployment_is_in_its_index() -> None:
    deploy = ROOT / "deploy"
    index = _LINK.findall((deploy / "README.md").read_text(encoding="utf-8"))
    pages = {str(page.relative_to(deploy)) for page in deploy.glob("*/**/*.md")}
    assert {page for page in pages if not page.startswith("monitoring")} <= set(index)


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.code)
def test_every_error_is_in_the_reference(error: type[Any]) -> None:
    rows = _rows(REFERENCE / "errors.md", error.code)
    assert len(rows) == 1
    status = {"USAGE": "usage", "HALT": "halt", "RETRY": "retry", "GIVE_UP": "gives up"}
    assert rows[0][1:3] == [error.title, status[error.disposition.name]]
    assert all(rows[0])


@pytest.mark.parametrize("metric", list(Metrics().registry.collect()), ids=lambda m: m.name)
def test_every_metric_is_in_the_reference(metric: Metric) -> None:
    text = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    name = _exposed(metric)
    (row,) = [line for line in text.splitlines() if line.startswith("|") and f"`{name}`" in line]
    kind = "gauge" if metric.type == "info" else metric.type
    assert f"| {kind} |" in row


def test_every_label_is_in_the_reference() -> None:
    metrics = Metrics()
    metrics.events.count({Count(kind, "t", "detail"): 1 for kind in Counted})
    metrics.events.expect_parked("t", ["CDC-301"])
    metrics.outbox.expect("t", ["Paid"])
    metrics.outbox.late({Count(Counted.OUTBOX_EVENTS, "t", "Paid"): 1}, 1.0)
    metrics.snapshot.expect("t")
    metrics.snapshot.table("t", 0.5, 1)
    metrics.snapshot.phases({"done": 1})
    lost = replace(SLOT, invalidation_reason="wal_removed")
    metrics.slot.show(lost, SlotActivity(None, None), 1.0)
    metrics.expect_sessions(["CDC-201"])
    metrics.log_lines.read = lambda: {"error": 1.0}
    metrics.info.info({"version": "1", "transcoder": "native"})
    metrics.state.read = lambda: SidecarState(phases=("halted",), schema_versions={"s": 1})
    checked = set()
    for metric in metrics.registry.collect():
        names = {name for sample in metric.samples for name in sample.labels} - {"le"}
        for _, _, labels, _ in _rows(REFERENCE / "metrics.md", f"`{_exposed(metric)}`"):
            checked |= names
            assert set(re.findall(r"`(\w+)`", labels)) == names, metric.name
    assert checked >= {"table", "op", "column", "event_type", "state", "reason", "subject"}


def test_every_command_and_option_is_in_the_reference() -> None:
    text = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    for name, options in _commands().items():
        assert f"\n## {name}\n" in text
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for option in options - {"--help", "-c", "-n"}:
            assert option in section, f"{name} {option}"


def test_every_key_is_in_the_reference() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    listed = {name.rpartition(".")[2] for name in _TABLE_KEYS.findall(text)}
    columns = set(OutboxColumns.model_fields)
    known = set(keys_of(Config)) | {"client", "config", "columns"}
    assert known - columns - listed == set()
    assert listed - known == set()


def _without_blocks(page: Path) -> str:
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def _blocks(page: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the usual renderers spell them."""
    headings = _HEADING.findall(_without_blocks(page))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def _rows(page: Path, first: str) -> list[list[str]]:
    """Return the cells of the rows whose first cell is `first`."""
    lines = page.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] == first]


def _metrics() -> list[Metric]:
    return list(Metrics().registry.collect())


def _exposed(metric: Metric) -> str:
    """Return the name under which a metric is scraped."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def _without_suffix(name: str) -> str:
    for suffix in (*_SUFFIXES, "_total", "_info"):
        name = name.removesuffix(suffix)
    return name


def _commands() -> dict[str, set[str]]:
    """Return the options of each command; those of a group are named with it."""
    return dict(_options(typer.main.get_command(app), ""))


def _options(group: Any, prefix: str) -> Iterator[tuple[str, set[str]]]:  # noqa: ANN401 - click's
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _options(command, f"{prefix}{name} ")
            continue
        options = {
            option
            for parameter in command.params
            if parameter.param_type_name == "option"
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        yield f"{prefix}{name}", options


def _command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the words of every call of ours, in shell blocks and in the text."""
    scripts = [line for kind, text in _blocks(page) if kind == "sh" for line in text.splitlines()]
    for line in [*scripts, *_INLINE_COMMAND.findall(_without_blocks(page))]:
        words = shlex.split(line.replace("python -m cdc_sidecar", "cdc-sidecar"), comments=True)
        if words and words[0] == "cdc-sidecar" and words[1] != "<command>":
            yield words[: words.index(">")] if ">" in words else words


def _completed(text: str) -> str:
    """Return a part of a configuration with what it needs to be a whole one."""
    written = tomllib.loads(text)
    service = '[service]\nname = "x"\n'
    postgres = '[postgres]\ndsn = "host=x"\nslot = "x"\npublication = "x"\n'
    kafka = '[kafka]\nbootstrap_servers = "x:9092"\n'
    if "bootstrap_servers" in written.get("kafka", {}):
        kafka = ""
    messages = '[messages]\nprefixes = ["x"]\n' if "messages" not in written else ""
    return f"{service}{postgres}{kafka}{messages}{text}"


@pytest.fixture(autouse=True)
def _secrets_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the mounted files and variables of the examples be readable."""
    for reader in ("_read_file", "_read_variable"):
        monkeypatch.setattr(f"cdc_sidecar.config.secret.{reader}", lambda _place: "secret")

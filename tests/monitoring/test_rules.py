"""The rules are valid, their promtool tests pass, and so does what the manual adds to them."""

import re
import subprocess
from pathlib import Path
from typing import Final

import yaml

from tests.monitoring.scaling import ALERTS, alerts, scaled_rules
from tests.monitoring.tools import command, needed

pytestmark = needed
_MANUAL: Final = Path(__file__).parents[2] / "docs" / "how-to" / "monitor-it.md"
_YAML: Final = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def _run_tool(name: str, *words: str | Path) -> None:
    done = subprocess.run([*command(name), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_its_promtool_test_and_nothing_else_does() -> None:
    _run_tool("promtool", "test", "rules", ALERTS.with_name("alerts_test.yaml"))


def test_the_rules_are_valid_also_when_they_are_scaled(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(scaled_rules(30))
    _run_tool("promtool", "check", "rules", ALERTS, path)


def test_the_configuration_of_prometheus_in_the_manual_is_valid(tmp_path: Path) -> None:
    (text,) = (block for block in _blocks() if "rule_files" in block)
    (tmp_path / "alerts.yaml").write_text(ALERTS.read_text())
    (tmp_path / "prometheus.yml").write_text(text)
    _run_tool("promtool", "check", "config", tmp_path / "prometheus.yml")


def test_the_inhibitions_of_the_manual_name_alerts_that_exist(tmp_path: Path) -> None:
    (text,) = (block for block in _blocks() if "inhibit_rules" in block)
    for group in re.findall(r"CdcSidecar\((.+?)\)", text):
        assert {f"CdcSidecar{name}" for name in group.split("|")} <= alerts().keys()
    config = {
        "route": {"receiver": "none"},
        "receivers": [{"name": "none"}],
        **yaml.safe_load(text),
    }
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    _run_tool("amtool", "check-config", path)


def _blocks() -> list[str]:
    return _YAML.findall(_MANUAL.read_text(encoding="utf-8"))

"""Each alert is complete and tested and has its runbook; files that are made are up to date."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.monitoring.scaling import alerts, scaled, scaled_rules

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RUNBOOKS = ROOT / "docs" / "runbooks"
_ALERTS = alerts()
_SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mending", "When to ignore it")


@pytest.mark.parametrize("name", _ALERTS)
def test_every_alert_says_whom_it_wakes_and_what_to_do(name: str) -> None:
    alert = _ALERTS[name]
    assert alert.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert alert["labels"]["severity"] in {"critical", "warning"}
    annotations = alert["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"].endswith(f"/docs/runbooks/{name}.md")


@pytest.mark.parametrize("name", _ALERTS)
def test_every_alert_is_tested_to_fire_and_to_stay_silent(name: str) -> None:
    tests = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
    fires = f'alertname="{name}"'
    mine = [test for test in tests if fires in str(test["promql_expr_test"])]
    assert mine
    for test in mine:
        assert any(not case["exp_samples"] for case in test["promql_expr_test"])


@pytest.mark.parametrize("name", _ALERTS)
def test_every_alert_is_caused_on_real_servers(name: str) -> None:
    short = f'"{name.removeprefix("CdcSidecar")}"'
    live = (ROOT / "tests" / "monitoring").glob("test_*.py")
    assert any(short in path.read_text(encoding="utf-8") for path in live)


@pytest.mark.parametrize("name", _ALERTS)
def test_every_alert_has_a_runbook(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == list(_SECTIONS)
    assert f"({name}.md)" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    manual = ROOT / "docs" / "how-to" / "monitor-it.md"
    assert f"(../runbooks/{name}.md)" in manual.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", _ALERTS)
def test_the_runbook_and_the_index_tell_severity_and_delay(name: str) -> None:
    severity, delay = _ALERTS[name]["labels"]["severity"], _ALERTS[name]["for"]
    minutes = int(delay.removesuffix("m"))
    after = f"{minutes} minute{'s' if minutes > 1 else ''}" if minutes else "at once"
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    first = f"Severity **{severity}**, {'after ' if minutes else ''}{after}."
    assert first in page
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert f"| [{name}]({name}.md) | {severity} | {after} |" in index


def test_every_runbook_has_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == _ALERTS.keys()


@pytest.mark.parametrize(
    ("script", "made"),
    [("prometheus_rule.py", "prometheus-rule.yaml"), ("dashboard.py", "dashboard.json")],
)
def test_what_is_made_from_other_files_is_up_to_date(
    script: str, made: str, tmp_path: Path
) -> None:
    path = tmp_path / made
    subprocess.run([sys.executable, MONITORING / script, path], check=True)
    assert path.read_text() == (MONITORING / made).read_text(), f"run deploy/monitoring/{script}"


def test_the_prometheus_rule_has_the_same_groups() -> None:
    rule = yaml.safe_load((MONITORING / "prometheus-rule.yaml").read_text(encoding="utf-8"))
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    assert rule["spec"] == {"groups": groups}


def test_only_durations_are_scaled() -> None:
    assert scaled("1d:5m", 60) == "1440000ms:5000ms"
    fast = yaml.safe_load(scaled_rules(30))
    by_name = {rule["alert"]: rule for group in fast["groups"] for rule in group["rules"]}
    assert by_name["CdcSidecarKafkaUnreachable"]["for"] == "2000ms"
    lag = by_name["CdcSidecarLagging"]
    assert (lag["expr"], lag["for"]) == (_ALERTS["CdcSidecarLagging"]["expr"], "10000ms")
    assert "[30000ms]" in by_name["CdcSidecarRestartLoop"]["expr"]
    assert scaled_rules(1) != scaled_rules(30)

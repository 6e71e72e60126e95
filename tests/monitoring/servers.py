"""Prometheus and Alertmanager on free ports of 127.0.0.1."""

import json
import signal
import urllib.error
import urllib.parse
import urllib.request
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import yaml

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.managed import ManagedServer
from cdc_sidecar.servers.process import Program
from tests.monitoring.tools import command

_START: Final = 30.0
"""Seconds for a start, which takes one."""
LOOKBACK: Final = 300.0
"""Seconds for which Prometheus takes a sample as the present one, unless it is scaled."""


class HttpServer(ManagedServer):
    """A server that says at `/-/ready` when it is."""

    def __init__(self, name: str) -> None:
        super().__init__(name, None)
        self.port = free_port()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start the server; return when it is ready."""
        self._write_files()
        words = [*command(self._name.lower()), f"--web.listen-address={self.address}"]
        program = Program(self._name, [*words, *self._options()], self._folder, self.log_path)
        launched = self._launch(program)
        launched.await_ready(self._ready, _START)
        return self

    def stop(self) -> None:
        """End the server."""
        if self.is_running():
            self._started().stop(signal.SIGTERM, _START)

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of an answer."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self.address}{path}?{query}", timeout=10) as answer:
            return json.load(answer)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    @abstractmethod
    def _write_files(self) -> None: ...

    @abstractmethod
    def _options(self) -> list[str]: ...


class Alertmanager(HttpServer):
    """Groups nothing and sends nothing: its API tells what it holds."""

    def __init__(self) -> None:
        super().__init__("Alertmanager")

    def _write_files(self) -> None:
        config = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(config))

    def _options(self) -> list[str]:
        return [
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self.data_folder}",
            "--cluster.listen-address=",
        ]

    def active(self) -> list[dict[str, Any]]:
        """Return the alerts that fire."""
        alerts: list[dict[str, Any]] = self.get("/api/v2/alerts", active="true")
        return alerts


class Prometheus(HttpServer):
    """Scrapes the targets that `watch` was given; `rules` is the text of its rule file."""

    def __init__(self, rules: str, alertmanager: Alertmanager, factor: float) -> None:
        """Scrape and evaluate every 15 s, divided by `factor`."""
        super().__init__("Prometheus")
        self._rules = rules
        self._alertmanager = alertmanager
        self._factor = factor
        self._targets: dict[str, str] = {}

    def watch(self, targets: Mapping[str, str]) -> None:
        """Scrape exactly these targets: each address with the name of its job."""
        self._targets = dict(targets)
        self._write_targets()

    @property
    def _targets_path(self) -> Path:
        return self._folder / "targets.json"

    def _write_targets(self) -> None:
        found = [
            {"targets": [address], "labels": {"job": job}} for address, job in self._targets.items()
        ]
        fresh = self._targets_path.with_suffix(".new")
        fresh.write_text(json.dumps(found))
        fresh.rename(self._targets_path)

    def _write_files(self) -> None:
        interval = f"{round(15_000 / self._factor)}ms"
        files = [{"files": [str(self._targets_path)], "refresh_interval": "1s"}]
        managers = [{"static_configs": [{"targets": [self._alertmanager.address]}]}]
        config = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "rule_files": [str(self._folder / "rules.yml")],
            "alerting": {"alertmanagers": managers},
            "scrape_configs": [{"job_name": "sidecars", "file_sd_configs": files}],
        }
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (self._folder / "rules.yml").write_text(self._rules)
        self._write_targets()

    def _options(self) -> list[str]:
        return [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.data_folder}",
            f"--query.lookback-delta={round(1000 * LOOKBACK / self._factor)}ms",
            "--rules.alert.resend-delay=1s",
        ]

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the instant vector that an expression has now."""
        answer = self.get("/api/v1/query", query=expression)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

"""A Prometheus and an Alertmanager that watch sidecars, and what fires in them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tests.acceptance.sidecar import Sidecar
from tests.monitoring.scaling import alerts, scaled_rules
from tests.monitoring.servers import Alertmanager, Prometheus
from tests.waiting import await_true

FACTOR: Final = 30.0
"""A minute of the rules takes two seconds, and Prometheus scrapes every half second."""
_PREFIX: Final = "CdcSidecar"


@dataclass(frozen=True, slots=True)
class Watching:
    """The two servers, and the sidecars that they watch."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    factor: float

    def watch(self, *sidecars: Sidecar, job: str = "shop/cdc-sidecar") -> None:
        """Scrape exactly these sidecars; return when each was scraped, if it runs."""
        targets = {f"127.0.0.1:{sidecar.port}": job for sidecar in sidecars}
        self.prometheus.watch(targets)
        running = {f"127.0.0.1:{each.port}" for each in sidecars if each.process.poll() is None}

        def scraped() -> bool:
            up = self.prometheus.ask("up == 1")
            return running <= {series["metric"]["instance"] for series in up}

        await_true(scraped, what="every sidecar is scraped")

    def firing(self, service: str) -> dict[str, dict[str, Any]]:
        """Return what Alertmanager holds for a service, by the names without our prefix."""
        return {
            alert["labels"]["alertname"].removeprefix(_PREFIX): alert
            for alert in self.alertmanager.active()
            if alert["labels"].get("service") == service
        }

    @contextmanager
    def fires(self, name: str, service: str, *, deadline: float = 90.0) -> Iterator[None]:
        """Wait, after the block with the fault, until the alert is in Alertmanager."""
        assert name not in self.firing(service)
        began = time.time()
        yield
        self.await_firing(name, service, deadline=deadline)
        seconds = datetime.fromisoformat(self.firing(service)[name]["startsAt"]).timestamp() - began
        real = alerts()[_PREFIX + name]["for"]
        print(f"{name}: {seconds:.1f} s after the fault (scaled by {self.factor:g}; for: {real})")

    def await_firing(self, name: str, service: str, *, deadline: float = 90.0) -> None:
        """Wait until an alert is in Alertmanager, with texts that name what they speak of."""
        try:
            await_true(lambda: name in self.firing(service), deadline=deadline, what=name)
        except AssertionError as error:
            error.add_note(f"fires: {sorted(self.firing(service))}")
            raise
        annotations = self.firing(service)[name]["annotations"]
        for text in annotations.values():
            assert "<no value>" not in text
            assert "error expanding template" not in text
        assert service in annotations["summary"] + annotations["description"]
        assert annotations["runbook_url"].endswith(f"/docs/runbooks/{_PREFIX}{name}.md")

    def await_resolved(self, name: str, service: str, *, deadline: float = 90.0) -> None:
        """Wait until an alert is over."""
        await_true(
            lambda: name not in self.firing(service), deadline=deadline, what=f"{name} is over"
        )


@contextmanager
def watching(factor: float = FACTOR) -> Iterator[Watching]:
    """Start the two servers with rules that are faster by a factor."""
    with Alertmanager() as alertmanager:
        rules = scaled_rules(factor)
        with Prometheus(rules, alertmanager, factor) as prometheus:
            yield Watching(prometheus, alertmanager, factor)

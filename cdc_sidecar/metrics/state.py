"""Gauges of what the sidecar is doing: phase, readiness, leadership, and why it has halted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cdc_sidecar.metrics.registry import UNKNOWN


@dataclass(frozen=True, slots=True)
class SidecarState:
    """What a scrape shows of the present state; times are seconds since 1970."""

    phases: tuple[str, ...] = ()  # all that there are
    phase: str = ""
    ready: bool = False
    kafka_reachable: bool | None = None  # None while nobody asks
    leader: bool = False  # it holds the lock of the slot
    halted: str = ""  # the code of the error; empty unless halted
    last_commit: float | None = None
    config_fingerprint: str = ""
    config_loaded: float | None = None
    schema_versions: Mapping[str, int] = field(default_factory=dict)  # the newest, by subject


class StateMetrics(Collector):
    """Reads the state when it is scraped; `read` returns it."""

    def __init__(self) -> None:
        self.read: Callable[[], SidecarState] = SidecarState

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        now = self.read()
        yield _by_label(
            "phase",
            "1 for the present phase",
            "state",
            {phase: float(phase == now.phase) for phase in now.phases},
        )
        yield _gauge("ready", "1 while /readyz answers 200", now.ready)
        yield _gauge("kafka_reachable", "1 while Kafka answers", _known(now.kafka_reachable))
        yield _gauge("leader", "1 while it holds the lock of the slot", now.leader)
        halted = "1 once a person must decide, with the code of the error"
        yield _by_label("halted", halted, "reason", {now.halted: float(bool(now.halted))})
        last = "when Kafka last committed a transaction of ours"
        yield _gauge("last_commit_timestamp_seconds", last, _known(now.last_commit))
        text = "the hash of the configuration"
        yield _by_label("config_info", text, "fingerprint", {now.config_fingerprint: 1.0})
        loaded = "when the configuration was loaded"
        yield _gauge("config_loaded_timestamp_seconds", loaded, _known(now.config_loaded))
        newest = "the newest version of each subject"
        yield _by_label("schema_version", newest, "subject", now.schema_versions)


def _known(moment: float | None) -> float:
    return UNKNOWN if moment is None else moment


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cdc_sidecar_{name}", text, value)


def _by_label(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"cdc_sidecar_{name}", text, labels=(label,))
    for value, number in values.items():
        family.add_metric([value], number)
    return family

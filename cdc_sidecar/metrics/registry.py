"""The registry of one sidecar: labels that every series has, and how its metrics are made."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

UNKNOWN: Final = float("nan")
"""The value of a gauge whose source could not be read."""
OTHER: Final = "other"
"""The label of all series beyond a limit."""

disable_created_metrics()  # type: ignore[no-untyped-call]


class LabelledRegistry(CollectorRegistry):
    """Adds the same labels to every series, also to those of the process."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__()
        self._labels = dict(labels)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its series."""
        for metric in super().collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, **self._labels})
                for sample in metric.samples
            ]
            yield metric


class Maker:
    """Makes metrics with our prefix in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Return a counter; `_total` is added to its name."""
        return Counter(f"cdc_sidecar_{name}", text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Return a gauge, which is 0 or has no series yet."""
        return Gauge(f"cdc_sidecar_{name}", text, labels, registry=self._registry)

    def unknown(self, name: str, text: str) -> Gauge:
        """Return a gauge whose value is not known yet."""
        gauge = self.gauge(name, text)
        gauge.set(UNKNOWN)
        return gauge


class ReadCounter(Collector):
    """A counter whose values are kept elsewhere; `read` returns them by the value of a label.

    Without a label, the only key is empty.
    """

    def __init__(self, name: str, text: str, label: str = "") -> None:
        self._name = f"cdc_sidecar_{name}"
        self._text = text
        self._labels = (label,) if label else ()
        self.read: Callable[[], Mapping[str, float]] = dict

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for value, count in self.read().items():
            family.add_metric([value] if self._labels else [], count)
        yield family


class Bound:
    """Bounds the number of series of a metric whose labels are names from outside.

    The series beyond the limit share one, whose last label is `other`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[tuple[str, ...]] = set()

    def __call__(self, *labels: str) -> tuple[str, ...]:
        """Return the labels of the series that stands for these."""
        if labels in self._known:
            return labels
        if len(self._known) >= self._limit:
            return (*labels[:-1], OTHER)
        self._known.add(labels)
        return labels

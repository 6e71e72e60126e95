"""The Prometheus metrics. Only this package uses prometheus_client."""

from cdc_sidecar.metrics.sidecar import Metrics
from cdc_sidecar.metrics.snapshot import SnapshotMetrics
from cdc_sidecar.metrics.state import SidecarState

__all__ = ["Metrics", "SidecarState", "SnapshotMetrics"]

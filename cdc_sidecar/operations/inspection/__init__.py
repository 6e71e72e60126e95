"""The inspection behind `check`: tries the source and Kafka live, without claiming anything."""

from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.operations.inspection.brokers import BrokerInspection
from cdc_sidecar.operations.inspection.history import inspect_history
from cdc_sidecar.operations.inspection.report import Finding, Group, Report, Severity
from cdc_sidecar.operations.inspection.source import SourceInspection
from cdc_sidecar.postgres.connect import Database

__all__: Final = ["Finding", "Group", "Report", "Severity", "inspect"]


def inspect(config: Config, capture: Capture, report: Report) -> None:
    """Run every check that `run` makes before it streams, and report each finding at once.

    A check that needs an answer which an earlier one did not get is left out: no fault is derived
    from another.
    """
    database = Database(config.postgres)
    try:
        source = SourceInspection(config, capture, database, report)
        seen = source.inspect()
        brokers = BrokerInspection(config, capture, report).inspect(seen)
        inspect_history(config, capture, report, seen, brokers)
    finally:
        database.close()

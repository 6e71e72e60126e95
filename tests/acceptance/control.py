"""Parts of negative controls: a sidecar without some rules, and its difference to the oracle."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from cdc_sidecar.failpoints import VARIABLE
from tests.acceptance.conftest import Service
from tests.acceptance.events import Event, Oracle, read_events
from tests.acceptance.sabotage import Rule, program

SPLIT = {"CDC_SIDECAR__PUBLISH__SPLIT_AFTER": '"1us"'}  # shorter than any part takes


def start(service: Service, failpoint: str = "", *rules: Rule, split: bool = False) -> None:
    """Start the sidecar without `rules`."""
    service.sidecar.program = program(*rules) if rules else ("cdc_sidecar",)
    environment = SPLIT if split else {}
    service.sidecar.start(environment={**environment, VARIABLE: failpoint})


def stream_on(service: Service, *rules: Rule) -> None:
    """Start the sidecar without `rules`; wait until everything is published."""
    start(service, "", *rules)
    service.sidecar.await_phase("streaming", deadline=60)
    service.await_published()


def assert_seen(service: Service, oracle: Oracle, *, lost: int = 0, repeated: int = 0) -> None:
    """Check that the comparison with the oracle fails by this number of rows."""
    with pytest.raises(AssertionError, match=r"events lost|expected,"):
        service.assert_exactly_once(oracle, "items")
    seen = read_events(service.kafka, service.name, service.topics("items"))
    found = _rows(event for events in seen.values() for event in events)
    wanted = _rows(oracle.expected())
    assert ((wanted - found).total(), (found - wanted).total()) == (lost, repeated)


def _rows(events: Iterable[Event]) -> Counter[Event]:
    """Count events without their identity: a row that is published again may have another one."""
    return Counter(replace(event, identity=None) for event in events)

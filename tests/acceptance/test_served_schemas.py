"""The built-in registry serves what is committed, and nothing else."""

import json

from cdc_sidecar.failpoints import VARIABLE
from tests.acceptance.conftest import Service
from tests.waiting import await_true


def _subjects(service: Service) -> list[str]:
    status, body = service.sidecar.get("/subjects")
    assert status == 200
    subjects: list[str] = json.loads(body)
    return [subject for subject in subjects if "items" in subject]


def _aborts(service: Service) -> int:
    return len(service.sidecar.events("transaction_aborted"))


def test_a_schema_of_an_aborted_transaction_is_served_only_once_a_later_one_has_committed_it(
    service: Service,
) -> None:
    """The first transaction is aborted before its commit, the second is held up before its own."""
    service.sidecar.start(environment={VARIABLE: "after_position=raise,before_commit=delay"})
    service.sidecar.await_phase("streaming")
    assert _subjects(service) == []
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    await_true(lambda: _aborts(service) == 1, what="the first transaction is aborted")
    assert _subjects(service) == [], "its schema was never committed"
    service.await_published()
    assert _subjects(service) == [
        f"{service.name}.public.items-{part}" for part in ("key", "value")
    ]

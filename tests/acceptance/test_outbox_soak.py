"""Outboxes that are written all the time stay small, and lose and repeat nothing."""

import os
from collections.abc import Callable

from tests.acceptance.conftest import Service
from tests.acceptance.outbox_soak import OutboxSoak
from tests.acceptance.outboxes import configure, expected, received
from tests.acceptance.own_postgres import ask
from tests.effort import LONG, chance
from tests.waiting import await_true

SECONDS = float(os.environ.get("OUTBOX_SECONDS", "60" if LONG else "10"))
RATE = 1000  # events a second
_LONGEST_GAP = 20  # seconds of events that may lie in the table after a kill on a busy machine


def test_tables_stay_small_and_each_event_is_sent_once_at_a_thousand_a_second(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("")
    configure(service, 'prune = "1s"')
    service.sql("ALTER TABLE kept SET (autovacuum_vacuum_cost_delay = 0)")
    service.sidecar.start_and_stream()
    soak = OutboxSoak(service, RATE, chance("outbox soak"))
    soak.run(SECONDS)
    service.sidecar.await_phase("streaming")
    service.await_published(120)
    await_true(
        lambda: ask(service.dsn, "SELECT count(*) FROM kept") == 0, what="all rows are removed"
    )
    assert received(service) == expected(soak.sent)
    print(
        f"{len(soak.sent)} events in {SECONDS:g} s, {soak.kills} kills, 0 lost, 0 repeated; at most"
        f" {soak.most} rows and {soak.largest / 1e6:.1f} MB in the table"
    )
    assert soak.most < RATE / 2 * _LONGEST_GAP
    assert soak.kills

"""Every panel of the dashboard answers with data from a Prometheus that scrapes a real sidecar."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import Service, Services
from tests.acceptance.outboxes import configure
from tests.monitoring.tools import needed
from tests.monitoring.watching import Watching
from tests.waiting import await_true

pytestmark = needed
_BOARD: Final = Path(__file__).parents[2] / "deploy" / "monitoring" / "dashboard.json"
_TABLES: Final = """
[[tables]]
name = "public.items"
columns = ["*"]
[snapshot]
mode = "initial"
"""
_WORLD: Final = (
    "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
    "CREATE TABLE audit (id serial PRIMARY KEY)",
    "INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 20000) n",
)
_WRITE: Final = (
    "UPDATE items SET n = n + 1 WHERE id < 100",
    "INSERT INTO audit DEFAULT VALUES",
    "INSERT INTO passing SELECT gen_random_uuid(), 1, 't0', '0', 'Noted', '{}'",
)


def _panels() -> list[dict[str, Any]]:
    board = json.loads(_BOARD.read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def _expressions(watch: Watching) -> Iterator[tuple[str, str]]:
    """Yield title and expression of each query, as Grafana would send it."""
    board = json.loads(_BOARD.read_text(encoding="utf-8"))
    queries = [
        (panel["title"], target["expr"]) for panel in _panels() for target in panel["targets"]
    ]
    queries += [(note["name"], note["expr"]) for note in board["annotations"]["list"]]
    for title, expression in queries:
        window = f"{round(60 / watch.factor * 5)}s"
        replaced = expression.replace("$service", "shown").replace("$__rate_interval", window)
        assert "$" not in replaced
        yield title, replaced


def test_every_panel_of_the_dashboard_has_data(
    watch: Watching, limited: PostgresServer, services: Services
) -> None:
    service = _shown(watch, limited, services)
    left = dict.fromkeys(_expressions(watch))

    def all_answered() -> bool:
        service.sql(*_WRITE)
        for query in tuple(left):
            if watch.prometheus.ask(query[1]):
                del left[query]
        return not left

    total = len(left)
    try:
        await_true(all_answered, deadline=60, what="every panel has data")
    except AssertionError as error:
        error.add_note(f"without data: {list(left)}")
        raise
    print(f"{total} queries of {len(_panels())} panels, all with data")


def _shown(watch: Watching, postgres: PostgresServer, services: Services) -> Service:
    """Return a service with all that is shown: tables, outboxes, a snapshot, a standby."""
    made = [services(postgres, "shown", _TABLES) for _ in range(2)]
    for service in made:
        config = service.sidecar.config
        text = config.read_text()
        config.write_text(text.replace('[snapshot]\nmode = "never"\n', "", 1))
    service, standby = made
    service.sql(*_WORLD)
    configure(service, "on_error = 'park'")
    service.sidecar.start()
    service.sidecar.await_phase("streaming")
    standby.sidecar.config.write_text(
        service.sidecar.config.read_text().replace(
            str(service.sidecar.port), str(standby.sidecar.port)
        )
    )
    standby.sidecar.start()
    standby.sidecar.await_phase("waiting")
    watch.watch(service.sidecar, standby.sidecar)
    return service


@pytest.mark.parametrize("panel", _panels(), ids=lambda panel: panel["title"])
def test_every_panel_has_a_unit_and_a_data_source_that_can_be_chosen(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all('service="$service"' in target["expr"] for target in panel["targets"])

"""The HTML of the status page: its size, its escaping, its links, and what it says of a state."""

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from cdc_sidecar.errors import PublicationIncomplete
from cdc_sidecar.events.batch import Batch
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.parking.note import ParkedNote
from cdc_sidecar.events.position import Position
from cdc_sidecar.events.registry.subjects import Subjects
from cdc_sidecar.http.documentation import BASE, error_page
from cdc_sidecar.http.page.document import POLICY, document, parts
from cdc_sidecar.http.situation import Alert, situation_of
from cdc_sidecar.http.status_body import status_body
from cdc_sidecar.http.status_text import rows
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.activity import Origin
from cdc_sidecar.runtime.history import KEPT, SERIES
from cdc_sidecar.runtime.status import Phase
from cdc_sidecar.runtime.status_board import StatusBoard
from tests.unit.error_tree import every_error
from tests.unit.serving import new_board
from tests.unit.test_docs import _anchors
from tests.unit.test_watch import SLOT

_DOCS: Final = Path(__file__).parents[2] / "docs"
_LARGEST: Final = 100_000
"""Bytes of the page with a thousand tables and full curves, before compression."""
_EMPTY: Final = {"meta", "link"}


def _streaming() -> StatusBoard:
    board = new_board()
    board.update(phase=Phase.STREAMING, kafka_reachable=True, slot=SLOT, slot_seen_at=time.time())
    return board


def _page(board: StatusBoard) -> str:
    return document(status_body(board, Subjects()), time.time())


def _body(**changes: object) -> dict[str, Any]:
    board = _streaming()
    board.update(**changes)
    return status_body(board, Subjects())


class _Nesting(HTMLParser):
    """Checks that every element is closed, and keeps the ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close it."""
        assert self.open.pop() == tag


def test_with_a_thousand_tables_the_page_stays_small_and_says_how_many_are_left_out() -> None:
    board = _streaming()
    board.activity.expect(
        Origin(f"public.a_table_with_a_long_name_{n:04}", "table", f"orders.public.t{n:04}")
        for n in range(1000)
    )
    for number in range(KEPT):
        board.history.add(dict.fromkeys(SERIES, number * 12_345.678))
    page = _page(board)
    assert "950 less active ones are left out" in page
    assert len(page.encode()) < _LARGEST
    body = json.dumps(status_body(board, Subjects()), allow_nan=False)
    assert len(json.loads(body)["tables"]["shown"]) == 100


def test_the_page_is_well_formed_and_each_part_has_an_id_of_its_own() -> None:
    board = _streaming()
    page = _page(board)
    nesting = _Nesting()
    nesting.feed(page)
    assert nesting.open == []
    assert len(set(nesting.ids)) == len(nesting.ids)
    names = parts(status_body(board, Subjects()), time.time())
    assert set(names) < set(nesting.ids)
    assert "<noscript><meta" in page


def test_names_and_errors_cannot_bring_markup_into_the_page() -> None:
    board = _streaming()
    evil = "<script>alert(1)</script>\"'&"
    board.activity.expect([Origin(evil, "table", evil)])
    counts = {Count(Counted.OUTBOX_EVENTS, evil, evil): 1}
    board.activity.committed(Batch(Position(Lsn(1)), counts=counts), time.time())
    board.configuration = {"service": {evil: evil}, "tables": [{"name": evil}]}
    board.update(phase=Phase.HALTED, error=f"CDC-208 x: {evil}\n  hint:  {evil}", database=evil)
    board.update(warnings=(evil,), kafka_reason=evil, error_code="CDC-208")
    page = _page(board)
    assert len(re.findall("<script", page)) == 1
    assert "alert(1)" in page


def test_the_policy_allows_the_style_and_the_script_of_the_page_by_their_hashes() -> None:
    assert re.search(r"style-src 'sha256-[A-Za-z0-9+/]{43}='", POLICY)
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", POLICY)


@pytest.mark.parametrize(
    ("changes", "tone", "alert"),
    [
        ({}, "good", None),
        ({"kafka_reachable": False}, "bad", Alert.KAFKA_UNREACHABLE),
        ({"stalled": True}, "bad", Alert.STALLED),
        ({"slot": replace(SLOT, wal_status="lost")}, "bad", Alert.SLOT_LOST),
        ({"slot": replace(SLOT, wal_status="extended")}, "warn", Alert.FALLS_BEHIND),
        ({"seconds_left": 1800.0}, "bad", Alert.SLOT_TIME_LEFT),
        ({"phase": Phase.WAITING}, "quiet", None),
        ({"phase": Phase.CLAIMING}, "quiet", None),
    ],
)
def test_each_situation_has_a_tone_a_hint_and_a_runbook(
    changes: dict[str, object], tone: str, alert: Alert | None
) -> None:
    found = situation_of(_body(**changes))
    assert (found.tone, found.alert) == (tone, alert)
    assert bool(found.hint) == (alert is not None)


def test_a_halt_shows_its_hint_and_the_section_of_its_code() -> None:
    error = PublicationIncomplete("public.a left", hint="put it back\n  then restart")
    body = _body(phase=Phase.HALTED, error=str(error), error_code=error.code)
    assert (body["tone"], body["hint"]) == ("bad", "put it back then restart")
    assert body["runbook"] == f"{BASE}/runbooks/CdcSidecarHalted.md"
    page = document(body, time.time())
    assert "Put it back then restart." in page
    assert f'<a href="{BASE}/reference/errors.md#postgres">CDC-208</a>' in page


def test_a_sidecar_that_waits_for_kafka_at_its_start_says_so() -> None:
    reason = "no Kafka broker answers, the sidecar waits: refused"
    body = _body(phase=Phase.STARTING, kafka_reachable=False, kafka_reason="refused", error=reason)
    assert body["tone"] == "bad"
    assert "Restore the brokers" in body["hint"]
    assert "refused" in document(body, time.time())


def _parked() -> StatusBoard:
    """Return a board on which a table that is not among the most active has parked an event."""
    board = _streaming()
    names = [f"public.t{number:03}" for number in range(200)]
    board.activity.expect(Origin(name, "table", f"orders.{name}") for name in names)
    counts = {Count(Counted.EVENTS, name, "c"): 9 for name in names[:150]}
    note = ParkedNote("public.t180", "CDC-301", None, 1, 1, "0123")
    board.activity.committed(Batch(Position(Lsn(1)), counts=counts, parked=[note] * 3), time.time())
    return board


def test_a_table_that_parked_something_is_shown_first_and_a_person_is_asked_to_look() -> None:
    board = _parked()
    body = status_body(board, Subjects())
    first = body["tables"]["shown"][0]
    assert (first["name"], first["parked"]) == ("public.t180", 3)
    assert (body["tone"], body["tables"]["parked"]) == ("warn", {"total": 3, "lately": True})
    assert body["verdict"].endswith("up to date, but has parked events that it cannot publish.")
    assert "`cdc-sidecar parked` shows them" in body["hint"]
    assert body["runbook"].endswith("runbooks/CdcSidecarEventsParked.md")
    assert '<span class="bad">3</span>' in _page(board)
    shown = dict(rows(body, time.time()))["parked"]
    assert shown.startswith("3 events since the process started, public.t180 3 (last just now)")


def test_every_page_to_which_the_status_page_links_exists() -> None:
    pages = {error_page(error.code) for error in every_error()}
    pages |= {alert.page for alert in Alert} | {"README.md"}
    for page in pages:
        path, _, anchor = page.partition("#")
        assert (_DOCS / path).is_file(), page
        assert not anchor or anchor in _anchors(_DOCS / path), page


def test_the_alerts_name_the_same_documentation() -> None:
    alerts = (_DOCS.parent / "deploy" / "monitoring" / "alerts.yaml").read_text()
    runbooks = re.findall(r"runbook_url: (\S+)", alerts)
    assert runbooks
    assert all(runbook.startswith(f"{BASE}/runbooks/") for runbook in runbooks)

"""Of every error it is known which test follows its hint, or why no machine can follow it."""

import ast
import re
from pathlib import Path

import pytest

from tests.unit.error_tree import every_error

_ACCEPTANCE = Path(__file__).parents[1] / "acceptance"
_FOLLOWED = {
    "CDC-101": "test_hints_start.py",
    "CDC-102": "test_hints_start.py",
    "CDC-103": "test_hints_start.py",
    "CDC-104": "test_hints_start.py",
    "CDC-105": "test_hints_start.py",
    "CDC-106": "test_setup_sql.py",
    "CDC-107": "test_reload.py",
    "CDC-110": "test_hints.py",
    "CDC-120": "test_hints_start.py",
    "CDC-121": "test_secured_http.py",
    "CDC-122": "test_health_command.py",
    "CDC-201": "test_interfaces.py",
    "CDC-202": "test_refused_sources.py",
    "CDC-203": "test_sessions.py",
    "CDC-204": "test_hints_slots.py",
    "CDC-205": "test_howtos.py",
    "CDC-206": "test_hints_slots.py",
    "CDC-207": "test_hints_slots.py",
    "CDC-208": "test_hints.py",
    "CDC-209": "test_hints.py",
    "CDC-210": "test_hints_slots.py",
    "CDC-212": "test_hints_busy.py",
    "CDC-213": "test_hints_slots.py",
    "CDC-214": "test_service_unharmed.py",
    "CDC-301": "test_ways_through.py",
    "CDC-302": "test_hints_kafka.py",
    "CDC-303": "test_old_rows.py",
    "CDC-304": "test_hints_position.py",
    "CDC-305": "test_hints_position.py",
    "CDC-307": "test_outbox_hints.py",
    "CDC-308": "test_outbox_hints.py",
    "CDC-401": "test_interfaces.py",
    "CDC-402": "test_hints_kafka.py",
    "CDC-403": "test_hints_kafka.py",
    "CDC-404": "test_hints_kafka.py",
    "CDC-405": "test_hints_kafka.py",
    "CDC-406": "test_limits.py",
    "CDC-407": "test_transactions.py",
    "CDC-408": "test_hints_kafka.py",
    "CDC-409": "test_takeover.py",
    "CDC-410": "test_hints_kafka.py",
    "CDC-501": "test_hints_slots.py",
    "CDC-502": "test_hints_position.py",
    "CDC-503": "test_moves.py",
    "CDC-504": "test_howtos.py",
    "CDC-505": "test_failover.py",
    "CDC-506": "test_publications.py",
    "CDC-507": "test_moved_slots.py",
    "CDC-508": "test_unreported_gaps.py",
    "CDC-510": "test_hints_position.py",
    "CDC-512": "test_snapshot_commands.py",
    "CDC-513": "test_outbox_hints.py",
    "CDC-511": "test_hints_position.py",
}
"""The acceptance test that follows the hint of each error and sees the sidecar run afterwards."""
_NOT_FOLLOWED = {
    "CDC-130": "the demo has no sidecar of its own to run afterwards; another folder is named",
    "CDC-131": "a server of the demo did not start: its log is read by a person",
    "CDC-211": "no server of another version can be installed in its place",
    "CDC-220": "a bug of the sidecar or of the server: it is reported",
    "CDC-306": "two schemas with the same 64-bit id cannot be found by trial",
    "CDC-901": "a bug of the sidecar: it is reported",
    "CDC-902": "only tests arm failpoints",
}
"""Why the hint of an error is not followed by a test."""


def test_of_every_error_it_is_said_who_follows_its_hint() -> None:
    codes = {error.code for error in every_error()}
    assert _FOLLOWED.keys() | _NOT_FOLLOWED.keys() == codes
    assert not _FOLLOWED.keys() & _NOT_FOLLOWED.keys()


@pytest.mark.parametrize("code", _FOLLOWED)
def test_the_test_that_follows_a_hint_exists_and_names_the_error(code: str) -> None:
    tree = ast.parse((_ACCEPTANCE / _FOLLOWED[code]).read_text(encoding="utf-8"))
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert tests
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert any(isinstance(text, str) and code in text for text in texts)


@pytest.mark.parametrize("code", _NOT_FOLLOWED)
def test_a_reason_is_a_sentence_in_a_few_words(code: str) -> None:
    assert re.fullmatch(r"[a-z].{10,90}", _NOT_FOLLOWED[code])

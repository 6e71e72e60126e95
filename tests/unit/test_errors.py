"""Errors have stable codes, an exit status, and one form in which they are printed."""

import re

import pytest

from cdc_sidecar.errors import (
    ConfigInvalid,
    Disposition,
    SidecarError,
    SlotMissing,
)
from tests.unit.error_tree import every_error


def test_codes_are_unique_and_of_one_form() -> None:
    codes = [error.code for error in every_error()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"CDC-[1-9]\d\d", code) for code in codes)
    assert codes == sorted(codes)


def _all(root: type[SidecarError]) -> set[type[SidecarError]]:
    return {error for sub in root.__subclasses__() for error in {sub, *_all(sub)}}


def test_every_error_that_is_raised_has_a_code_and_a_title_of_its_own() -> None:
    listed = set(every_error())
    bases = {error.__name__ for error in _all(SidecarError) - listed}
    assert bases == {"RetryError", "UsageError", "HaltError", "OutboxEventRefused"}
    assert len({error.title for error in listed}) == len(listed)
    for error in listed:
        assert error.title
        assert error.__doc__


@pytest.mark.parametrize(
    ("disposition", "status"),
    [
        (Disposition.USAGE, 2),
        (Disposition.HALT, 3),
        (Disposition.GIVE_UP, 4),
        (Disposition.RETRY, 4),
    ],
)
def test_the_exit_status_is_the_contracts(disposition: Disposition, status: int) -> None:
    assert disposition.exit_status == status


def test_an_error_reads_as_code_title_fact_where_cause_and_hint() -> None:
    error = SlotMissing(
        "slot orders_cdc", where="database shop", cause="it was dropped", hint="see\nthe page"
    )
    assert str(error) == (
        "CDC-204 replication slot is missing: slot orders_cdc\n"
        "  where: database shop\n"
        "  cause: it was dropped\n"
        "  hint:  see\n"
        "         the page"
    )


def test_unknown_parts_are_left_out() -> None:
    assert str(ConfigInvalid("2 mistakes")) == "CDC-102 configuration is not valid: 2 mistakes"

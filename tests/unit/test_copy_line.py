"""Lines of COPY become the rows that the stream would send, with both twins."""

from typing import Any

import pytest

from cdc_sidecar.errors import ProtocolViolation
from cdc_sidecar.events import transcode as plain
from cdc_sidecar.events.copy_line import fields_of
from cdc_sidecar.events.plan import Plan
from tests.effort import chance
from tests.unit import wire
from tests.unit.shop import BIGINT, TEXT, compiled, layout
from tests.unit.tuples import START

LINES = layout("lines", {"id": BIGINT, "a": TEXT, "b": TEXT, "c": TEXT}, key=("id",))
KEYED = layout("lines", {"id": BIGINT, "a": TEXT, "b": TEXT, "c": TEXT}, key=("a", "id"))
_PIECES = ("\t", "\\", "\n", "\r", "\b", "\f", "\v", "\\N", "\\t", "\\.", "N", "é", "x", "\x01", "")


def _copied(text: str | None) -> str:
    """Write a value as COPY does."""
    if text is None:
        return "\\N"
    text = text.replace("\\", "\\\\")
    for sign, letter in zip("\b\f\n\r\t\v", "bfnrtv", strict=True):
        text = text.replace(sign, f"\\{letter}")
    return text


def _twins() -> list[Any]:
    twins: list[Any] = [plain]
    try:
        from cdc_sidecar.events import _transcode  # noqa: PLC0415 - it may not be built
    except ImportError:
        return twins
    return [*twins, _transcode]


@pytest.mark.parametrize("twin", _twins())
@pytest.mark.parametrize("plan", [compiled(LINES), compiled(KEYED)], ids=["one", "two"])
def test_a_line_of_copy_becomes_the_row_that_the_stream_would_send(twin: Any, plan: Plan) -> None:  # noqa: ANN401 - a module
    dice = chance("lines")
    transcoder = twin.Transcoder(plan)
    for _ in range(500):
        texts = [dice.choices(_PIECES, k=dice.randint(0, 5)) for _ in range(3)]
        cells = [str(dice.randint(-9, 9)), *("".join(text) for text in texts)]
        row = [cells[0], cells[1], *(None if dice.random() < 0.2 else cell for cell in cells[2:])]
        line = ("\t".join(map(_copied, row)) + "\n").encode()
        assert fields_of(line) == [None if cell is None else cell.encode() for cell in row]
        frame = wire.frame(1, wire.insert(1, row))
        assert transcoder.transcode_line(line) == plain.transcode(plan, frame, START)[:2]


@pytest.mark.parametrize("twin", _twins())
def test_a_line_with_too_few_or_too_many_values_is_refused(twin: Any) -> None:  # noqa: ANN401 - a module
    for line in (b"1\n", b"1\ta\tb\n", b"1\ta\tb\tc\td\n", b"\n"):
        with pytest.raises(ProtocolViolation):
            twin.Transcoder(compiled(LINES)).transcode_line(line)


@pytest.mark.parametrize("twin", _twins())
def test_the_largest_row_is_found_with_its_key(twin: Any) -> None:  # noqa: ANN401 - a module
    rows = [(b"123", b"1"), (b"12345", None), (b"1234", b"56"), (b"123456", None), (b"", b"")]
    assert twin.largest_of(rows) is rows[2]
    assert twin.largest_of(rows[:2]) is rows[1]
    assert twin.largest_of(rows[4:]) is rows[4]

r"""Rows as `COPY … TO STDOUT` prints them.

PostgreSQL documentation, "COPY", section "Text Format": a line for each row, values separated by
tabs, `\N` for NULL, and a backslash before what would be taken for one of these.
"""

import re
from typing import Final

_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_MEANT: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def fields_of(line: bytes) -> list[bytes | None]:
    """Return the text of each value of a line; None is NULL."""
    return [_field(text) for text in line[:-1].split(b"\t")]


def unescape(text: bytes) -> bytes:
    """Return a value without the backslashes that COPY has added."""
    return _ESCAPE.sub(lambda match: _MEANT.get(match[1], match[1]), text)


def _field(text: bytes) -> bytes | None:
    if b"\\" not in text:
        return text
    return None if text == b"\\N" else unescape(text)

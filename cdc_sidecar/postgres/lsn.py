"""Log sequence numbers: positions in the write-ahead log, in bytes.

PostgreSQL documentation, "pg_lsn Type": two hexadecimal numbers of up to eight digits with a slash.
"""

import re
from typing import Final, NewType

Lsn = NewType("Lsn", int)
"""A position in the WAL: the number of its byte, an unsigned 64-bit integer."""

ZERO = Lsn(0)

_SPELLED: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def parse_lsn(text: str) -> Lsn:
    """Return the LSN of a text such as `"0/15293B8"`.

    Raises:
        ValueError: the text is not two hexadecimal numbers with a slash between them.

    """
    match = _SPELLED.fullmatch(text)
    if match is None:
        message = f"not an LSN: {text!r}"
        raise ValueError(message)
    return Lsn(int(match[1], 16) << 32 | int(match[2], 16))


def format_lsn(lsn: int) -> str:
    """Return an LSN in the form of Postgres."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"

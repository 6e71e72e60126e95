"""Records of either twin are handed to the client one by one, with everything that they have."""

from collections.abc import Callable
from typing import Any

import pytest

from cdc_sidecar.events import record

_GIVEN: tuple[tuple[Any, ...], ...] = (
    ("a", b"value", b"key"),
    ("a", None, b"tombstone", 3),
    ("b", b"value", None, record.ANY_PARTITION, [("id", b"1"), ("type", b"T")], 1_795_000_000_000),
)


class Client:
    """Keeps what it is given, and has room for `room` records."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[tuple[object, ...]] = []

    def produce(self, *arguments: object) -> None:
        """Take a record."""
        if len(self.taken) == self.room:
            raise BufferError
        self.taken.append(arguments)


def _twins() -> list[tuple[Callable[..., int], type]]:
    native: Any = pytest.importorskip("cdc_sidecar.events._transaction", reason="no C compiler")
    return [
        (record.produce_each, record.Record),
        (native.produce_each, native.Record),
        (native.produce_each, record.Record),
    ]


@pytest.mark.parametrize("twin", range(3), ids=["plain", "native", "native, plain records"])
def test_each_record_is_handed_on_with_its_fields_until_there_is_no_room(twin: int) -> None:
    produce_each, kind = _twins()[twin]
    records = [kind(*given) for given in _GIVEN]
    client = Client(room=2)
    assert produce_each(client.produce, records, 0) == 2
    client.room = 3
    assert produce_each(client.produce, records, 2) == 3
    assert client.taken == [
        ("a", b"value", b"key", -1, None, None, 0, None),
        ("a", None, b"tombstone", 3, None, None, 0, None),
        ("b", b"value", None, -1, None, None, 1_795_000_000_000, [("id", b"1"), ("type", b"T")]),
    ]

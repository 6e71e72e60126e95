"""Records of either twin are handed to the client in runs or one by one, with all they have."""

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


def _twins() -> list[tuple[Any, type]]:
    native: Any = pytest.importorskip("cdc_sidecar.events._transaction", reason="no C compiler")
    return [(record, record.Record), (native, native.Record), (native, record.Record)]


twins = pytest.mark.parametrize("twin", range(3), ids=["plain", "native", "native, plain records"])


@twins
def test_each_record_is_handed_on_with_its_fields_until_there_is_no_room(twin: int) -> None:
    module, kind = _twins()[twin]
    records = [kind(*given) for given in _GIVEN]
    client = Client(room=2)
    assert module.produce_each(client.produce, records, 0) == 2
    client.room = 3
    assert module.produce_each(client.produce, records, 2) == 3
    assert client.taken == [
        ("a", b"value", b"key", -1, None, None, 0, None),
        ("a", None, b"tombstone", 3, None, None, 0, None),
        ("b", b"value", None, -1, None, None, 1_795_000_000_000, [("id", b"1"), ("type", b"T")]),
    ]


@twins
def test_neighbours_of_one_topic_are_a_run_and_records_with_more_than_that_are_alone(
    twin: int,
) -> None:
    module, kind = _twins()[twin]
    first, second, third = (kind(topic, b"", None) for topic in ("a", "a", "b"))
    with_partition, with_time = kind("b", b"", None, 0), kind("b", b"", None, -1, None, 7)
    with_headers, last = kind("b", b"", None, -1, [("id", b"1")]), kind("b", b"", None)
    records = [first, second, third, with_partition, with_time, with_headers, last]
    assert module.runs_of(iter(records)) == [
        ("a", [first, second]),
        ("b", [third]),
        (None, [with_partition, with_time, with_headers]),
        ("b", [last]),
    ]
    assert module.runs_of([]) == []


@twins
def test_the_records_of_a_run_become_messages(twin: int) -> None:
    module, kind = _twins()[twin]
    records = [kind("a", b"value", b"key"), kind("a", None, b"tombstone")]
    assert module.messages_of(records) == [
        {"value": b"value", "key": b"key"},
        {"value": None, "key": b"tombstone"},
    ]

"""AddPartitionsToTxn: the request with which a producer registers partitions of a transaction.

Kafka protocol guide, "AddPartitionsToTxn" version 0, as librdkafka sends it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

TopicPartitions = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Registration:
    """A request; `head` is everything between its length and its topics."""

    correlation: int
    head: bytes
    topics: tuple[TopicPartitions, ...]

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return the request in a message that begins with its length."""
        _size, _api, version, correlation = struct.unpack_from(">ihhi", message)
        assert version == 0, f"AddPartitionsToTxn version {version}"
        at = 12
        for more in (0, 8 + 2):  # the client's id; the transactional id, producer id and epoch
            (length,) = struct.unpack_from(">h", message, at)
            at += 2 + max(0, length) + more
        head, (count,) = message[4:at], struct.unpack_from(">i", message, at)
        at, topics = at + 4, []
        for _ in range(count):
            (length,) = struct.unpack_from(">h", message, at)
            name = message[at + 2 : at + 2 + length].decode()
            at += 2 + length
            (numbers,) = struct.unpack_from(">i", message, at)
            topics.append((name, struct.unpack_from(f">{numbers}i", message, at + 4)))
            at += 4 + 4 * numbers
        return cls(correlation, head, tuple(topics))

    def without(self, hidden: Sequence[TopicPartitions]) -> bytes:
        """Return the message without some of the topics."""
        left = tuple(topic for topic in self.topics if topic not in hidden)
        return replace(self, topics=left).encode()

    def encode(self) -> bytes:
        """Return the message."""
        parts = [self.head, struct.pack(">i", len(self.topics))]
        for name, numbers in self.topics:
            parts += [_text(name), struct.pack(f">i{len(numbers)}i", len(numbers), *numbers)]
        body = b"".join(parts)
        return struct.pack(">i", len(body)) + body


def with_results(response: bytes, hidden: Sequence[TopicPartitions]) -> bytes:
    """Return a response that also says that some partitions were registered."""
    correlation, throttle, count = struct.unpack_from(">iii", response, 4)
    parts = [struct.pack(">iii", correlation, throttle, count + len(hidden)), response[16:]]
    for name, numbers in hidden:
        parts += [_text(name), struct.pack(">i", len(numbers))]
        parts += [struct.pack(">ih", number, 0) for number in numbers]
    body = b"".join(parts)
    return struct.pack(">i", len(body)) + body


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()

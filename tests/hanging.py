"""A hanging transaction, made as no client library would: a record without a registered partition.

Kafka protocol guide, "Record Batch" and the requests InitProducerId (version 0) and Produce
(version 7). A broker with `transaction.partition.verification.enable = false` takes the record,
although the transaction coordinator does not know of it: no end of any transaction of this producer
writes a marker there. Readers see what is left when a coordinator forgets a partition.
"""

import socket
import struct
import time
from typing import Final

UNVERIFIED: Final = {"transaction.partition.verification.enable": "false"}
"""Properties of a broker on which a transaction can be left hanging."""

_PRODUCE, _INIT_PRODUCER_ID = (0, 7), (22, 0)
_TRANSACTIONAL: Final = 0x10  # of a batch's attributes
_POLYNOMIAL: Final = 0x82F63B78  # of CRC-32C, reversed


def leave_hanging(bootstrap: str, transactional_id: str, topic: str, partition: int = 0) -> None:
    """Leave a transaction of a transactional id hanging on a topic partition."""
    host, port = bootstrap.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as broker:
        answer = _ask(
            broker, _INIT_PRODUCER_ID, _text(transactional_id) + struct.pack(">i", 60_000)
        )
        _throttle, error, producer, epoch = struct.unpack(">ihqh", answer)
        assert error == 0, f"InitProducerId was refused with error {error}"
        batch = _batch(producer, epoch)
        request = b"".join(
            (
                _text(transactional_id),
                struct.pack(">hii", -1, 20_000, 1),  # all replicas, the time-out, one topic
                _text(topic),
                struct.pack(">iii", 1, partition, len(batch)),
                batch,
            )
        )
        answer = _ask(broker, _PRODUCE, request)
        (error,) = struct.unpack_from(">h", answer, 4 + len(_text(topic)) + 4 + 4)
        assert error == 0, f"Produce was refused with error {error}"


def _ask(broker: socket.socket, api: tuple[int, int], body: bytes) -> bytes:
    """Send a request and return the body of its response."""
    key, version = api
    request = struct.pack(">hhi", key, version, 1) + _text("tests") + body
    broker.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _read(broker, 4))
    return _read(broker, size)[4:]


def _read(broker: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = broker.recv(size - len(content))
        assert part, "the broker closed the connection"
        content += part
    return content


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _batch(producer: int, epoch: int) -> bytes:
    """Return a record batch with one record, in a transaction of a producer."""
    now = time.time_ns() // 1_000_000
    record = b"\x00\x00\x00" + b"\x06key" + b"\x0adraft" + b"\x00"  # attributes, deltas, no headers
    counted = struct.pack(">hiqqqhii", _TRANSACTIONAL, 0, now, now, producer, epoch, 0, 1) + bytes(
        [len(record) << 1]
    )
    body = counted + record
    checked = struct.pack(">ibI", -1, 2, _crc32c(body)) + body
    return struct.pack(">qi", 0, len(checked)) + checked


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF

"""A transaction of millions of rows: flat memory, one commit, exactly once (B6, B70)."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from cdc_sidecar.events.binary import encode_string
from cdc_sidecar.events.reader import EventReader
from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.brokers import service_on
from tests.acceptance.conftest import TABLES, Service
from tests.acceptance.events import read_registry
from tests.acceptance.sidecar import Sidecar
from tests.effort import LONG
from tests.waiting import await_true

pytestmark = pytest.mark.usefixtures("fresh_processes")

ROWS = 10_000_000 if LONG else 1_000_000  # far more than fit into the memory below
MEMORY = 150_000_000  # bytes that are promised, at any moment
_PATIENCE = 3600.0 if LONG else 300.0  # seconds until everything is published
_SMALL = 2_000_000_000  # the first id of the small transactions


@dataclass
class Seen:
    """The rows of table `items` that a `read_committed` consumer has read."""

    small: list[int] = field(default_factory=list)
    huge: bytearray = field(default_factory=lambda: bytearray(ROWS + 1))  # 1 at ids that arrived
    orders: bytearray = field(default_factory=lambda: bytearray(ROWS + 1))
    commit_lsn: int = 0  # of the huge transaction
    block: bytes = b""  # its `transaction.id`, as in its events


def _read(service: Service) -> Seen:
    """Read the topic; check that every id arrives once and each partition is in order.

    Of an event of the huge transaction, only the ordinal is decoded: it follows the id in Avro.
    """
    seen, reader = Seen(), read_registry(service.kafka, service.name)
    last: dict[int, tuple[int, int]] = {}
    for partition, key, value in _records(service.kafka, f"{service.name}.public.items"):
        at = value.find(seen.block) if seen.block else -1
        if at < 0:
            commit, total = _enter(seen, reader, key, value)
        else:
            commit, total = seen.commit_lsn, _varint(value, at + len(seen.block))
        number = _varint(key, 5)
        if number < _SMALL:
            assert not seen.huge[number], f"row {number} came twice"
            assert not seen.orders[total], f"event {total} came twice"
            seen.huge[number] = seen.orders[total] = 1
        else:
            seen.small.append(number)
        assert last.get(partition, (0, 0)) < (commit, total), "out of order"
        last[partition] = (commit, total)
    return seen


def _enter(seen: Seen, reader: EventReader, key: bytes, value: bytes) -> tuple[int, int]:
    """Decode a complete event; keep the transaction id if it is the first of the huge one."""
    event = reader.read(value)
    commit, block = event["source"]["commit_lsn"], event["transaction"]
    if _varint(key, 5) < _SMALL:
        assert not seen.block, "it came in two transactions"
        seen.commit_lsn, seen.block = commit, encode_string(block["id"])
    return commit, block["total_order"]


def _varint(encoded: bytes, at: int) -> int:
    """Decode a non-negative long of Avro."""
    number = shift = 0
    while encoded[at] > 127:
        number |= (encoded[at] & 127) << shift
        shift += 7
        at += 1
    return (number | encoded[at] << shift) >> 1


def _records(kafka: str, topic: str) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield partition, key and value of every record up to the last stable offset."""
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "tests", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
        "fetch.wait.max.ms": 20,
    })  # fmt: skip
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    ended: set[int] = set()
    while len(ended) < len(partitions):
        messages = consumer.consume(10_000, 20.0)
        assert messages, "the brokers do not answer"
        for message in messages:
            error, partition = message.error(), int(message.partition() or 0)
            key, value = message.key(), message.value()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error.str()  # noqa: SLF001 - its name
                ended.add(partition)
            elif key is not None and value is not None:
                yield partition, key, value
    consumer.close()


def _peak(sidecar: Sidecar) -> int:
    """Return the largest memory of the process so far, in bytes."""
    status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _stopped(sidecar: Sidecar) -> bool:
    stat = Path(f"/proc/{sidecar.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def _insert_small(service: Service, first: int) -> None:
    service.sql(*(f"INSERT INTO items VALUES ({_SMALL + first + n}, 0, 'x')" for n in range(10)))


@pytest.mark.timeout(2 * _PATIENCE)
def test_a_huge_transaction_killed_midway_takes_flat_memory_and_one_commit_and_holds_up_nobody(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        TABLES + '[messages]\nprefixes = ["mark"]\n', **{'"30s"': '"15m"', '"debug"': '"info"'}
    )
    sidecar = service.sidecar
    service.sql(
        "CREATE TABLE items (id bigint PRIMARY KEY, n int, label text)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    sidecar.start(environment={VARIABLE: f"before_produce#{ROWS // 10_000}=stop"})
    sidecar.await_phase("streaming")
    with psycopg.connect(service.dsn) as huge:
        _insert_small(service, 0)
        huge.execute(
            "INSERT INTO items SELECT n, n, 'row ' || n FROM generate_series(1, %s::bigint) n",
            (ROWS,),
        )
        _insert_small(service, 10)
        service.await_published()
        assert sorted(_read(service).small) == [_SMALL + n for n in range(20)]
    _insert_small(service, 20)
    await_true(lambda: _stopped(sidecar), deadline=_PATIENCE, what="it stands in the middle")
    peaks = [_peak(sidecar)]
    part = _read(service)
    assert sorted(part.small) == [_SMALL + n for n in range(20)]
    assert not any(part.huge), "part of the transaction was visible"
    sidecar.kill()
    sidecar.start_and_stream()
    service.await_published(_PATIENCE)
    peaks.append(_peak(sidecar))
    whole = _read(service)
    assert sorted(whole.small) == [_SMALL + n for n in range(30)]
    assert sum(whole.huge) == sum(whole.orders) == ROWS, "rows were lost"
    assert not sidecar.events("transaction_split")
    print(f"{ROWS} rows; at most {', '.join(f'{peak / 1e6:.0f} MB' for peak in peaks)}")
    assert max(peaks) <= MEMORY


def test_brokers_that_stand_still_inside_a_huge_transaction_cost_no_more_memory(
    make_service: Callable[..., Service],
) -> None:
    with KafkaBroker() as broker:
        service = service_on(broker.bootstrap_servers, make_service, timeout="15m")
        sidecar = service.sidecar
        sidecar.start(environment={VARIABLE: "before_produce#20=stop"})
        sidecar.await_phase("streaming")
        service.sql("INSERT INTO items SELECT n, n, 'row' FROM generate_series(1, 400000) n")
        await_true(lambda: _stopped(sidecar), deadline=60, what="it stands in the middle")
        os.kill(broker.pid, signal.SIGSTOP)
        sidecar.process.send_signal(signal.SIGCONT)
        await_true(_Still(sidecar), deadline=60, what="it takes no more from Postgres")
        os.kill(broker.pid, signal.SIGCONT)
        service.await_published(_PATIENCE)
        peak = _peak(sidecar)
    print(f"at most {peak / 1e6:.0f} MB")
    assert peak <= MEMORY


class _Still:
    """Watches whether the memory of a process has been constant for half a second."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._status = Path(f"/proc/{sidecar.process.pid}/statm")
        self._last: list[str] = []

    def __call__(self) -> bool:
        """Take a sample."""
        self._last = [*self._last[-24:], self._status.read_text().split()[1]]
        return len(self._last) == 25 and len(set(self._last)) == 1

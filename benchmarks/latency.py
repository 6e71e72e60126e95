"""Measures latency at steady traffic.

It is the time from a row's clock_timestamp() to the clock of a `read_committed` consumer.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.contenders import Contender, Run, failed
from benchmarks.source import Servers, SourceDatabase, say, source
from benchmarks.truth import Decoder
from benchmarks.workloads import Workload, Write
from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import package_home

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_WARM_SECONDS: Final = 3.0  # of traffic that is not counted: connections and topics are new
_LAST_SECONDS: Final = 15.0  # for the last events: one that comes later counts as missing
_START_SECONDS: Final = 60.0  # a start takes about a second; after a minute it has failed
_POLL_SECONDS: Final = 0.1  # the longest wait for a message, and between two reads of topics
_COUNT_SECONDS: Final = 0.05  # between two checks whether all events have arrived
_ADMIN_SECONDS: Final = 20  # for one request to the broker, which is busy
_COMMITS_A_CLIENT: Final = 100  # a second: with fsync a client of pgbench manages some hundred
_CLIENTS: Final = (
    2,
    64,
)  # the least, so that fsyncs are shared, and the most, below max_connections
_TABLE: Final = "steady"
_INSERT: Final = "INSERT INTO steady (note) VALUES ('{}');\n".format("x" * 60)
_MICROSECONDS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Latency:
    """One run of steady traffic. The percentiles are in milliseconds."""

    contender: str
    guarantee: str
    format: str
    rate: float  # commits a second that were asked for
    written: int
    came: int
    seconds: float
    transactions: float  # Kafka's, a second
    percentiles: dict[str, float]


class Steady(Workload):
    """Transactions of one row, which holds the time of its insertion."""

    def prepare(self) -> Iterator[str]:
        """Yield the statements that run before the slot is created."""
        yield (
            f"CREATE TABLE {_TABLE} (id bigserial PRIMARY KEY,"
            " at timestamptz DEFAULT clock_timestamp(), note text)"
        )

    def write(self) -> Iterator[Write]:
        """Yield one row, so that the topics are created."""
        yield _INSERT, 1


class Arrivals(threading.Thread):
    """A consumer that only records messages and their times; they are decoded afterwards."""

    def __init__(self, servers: Servers, topic: str) -> None:
        super().__init__(daemon=True)
        self._stopping = threading.Event()
        self._consumer = Consumer({
            "bootstrap.servers": servers.kafka.bootstrap_servers, "group.id": "bench",
            "enable.auto.commit": False, "isolation.level": "read_committed",
            "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10,
        })  # fmt: skip
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self.came: list[tuple[float, int, bytes]] = []  # time, offset, value

    def run(self) -> None:
        """Consume until `finish`."""
        while not self._stopping.is_set():
            message = self._consumer.poll(_POLL_SECONDS)
            if message is not None and message.error() is None:
                self._add(message, time.time())
        self._consumer.close()

    def _add(self, message: Message, now: float) -> None:
        value = message.value()
        self.came.append((now, message.offset() or 0, value if isinstance(value, bytes) else b""))

    def finish(self, wanted: int) -> None:
        """Wait until `wanted` events have arrived, but at most `_LAST_SECONDS`; then end."""
        deadline = time.monotonic() + _LAST_SECONDS
        while len(self.came) < wanted and time.monotonic() < deadline:
            time.sleep(_COUNT_SECONDS)
        self._stopping.set()
        self.join()


def measure_steady(servers: Servers, contender: Contender, rate: int, seconds: float) -> Latency:
    """Measure one contender at one rate."""
    workload = Steady(f"steady_{rate}_{contender.name}", "", 1, tables=(_TABLE,))
    with source(servers, workload) as from_, from_.slot(workload.name) as slot:
        contender.start(Run(slot, from_))
        try:
            topic = f"{slot}.public.{_TABLE}"
            await_topic(servers, topic, contender)
            arrivals = Arrivals(servers, topic)
            arrivals.start()
            write_steadily(from_, rate, seconds)
            written = count_steady(from_)
            arrivals.finish(written)
            latency = _latency(contender, rate, arrivals.came, written, decoder(contender.registry))
        finally:
            contender.stop()
    say(f"{workload.name}: {describe(latency)}")
    return latency


def measure_bare(servers: Servers, rate: int, seconds: float, cadence: float) -> Latency:
    """Measure the loop that only produces, in as many Kafka transactions a second."""
    bare = _Bare()
    topic = f"bare_{rate}"
    admin = AdminClient({"bootstrap.servers": servers.kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    arrivals = Arrivals(servers, topic)
    arrivals.start()
    arguments = [
        servers.kafka.bootstrap_servers,
        topic,
        str(rate),
        str(seconds + _WARM_SECONDS),
        str(cadence),
    ]
    command = [sys.executable, "-m", "benchmarks.bare", *arguments]
    subprocess.run(command, cwd=package_home(), check=True)
    arrivals.finish(int(rate * (seconds + _WARM_SECONDS)))
    latency = _latency(bare, rate, arrivals.came, len(arrivals.came), _decode_bare)
    say(f"{topic}: {describe(latency)}")
    return latency


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of SHARES, or nothing if there are no values."""
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {name: ordered[min(last, int(len(ordered) * share))] for name, share in SHARES.items()}


def describe(latency: Latency) -> str:
    """Return one line about a run."""
    shares = ", ".join(f"{name} {value:.1f}" for name, value in latency.percentiles.items())
    return (
        f"{shares} ms; {latency.came:,} of {latency.written:,} rows in {latency.seconds:.0f} s,"
        f" {latency.transactions:.0f} Kafka transactions/s"
    )


class _Bare:
    name = "bare_loop"
    guarantee = "exactly once, no source"
    format = "8 bytes"


def _latency(
    contender: "Contender | _Bare",
    rate: float,
    came: Sequence[tuple[float, int, bytes]],
    written: int,
    decode: Callable[[bytes], float],
) -> Latency:
    """Compute the figures of a run without its first `_WARM_SECONDS`."""
    pairs = [(at, decode(value)) for at, _, value in came]
    warm = (pairs[1][1] if len(pairs) > 1 else 0.0) + _WARM_SECONDS
    steady = [(at - written_at) * 1000 for at, written_at in pairs if written_at >= warm]
    seconds = pairs[-1][1] - warm + _WARM_SECONDS if pairs else 0.0
    offsets = [offset for _, offset, _ in came]
    markers = offsets[-1] + 1 - len(offsets) if offsets else 0
    return Latency(
        contender.name,
        contender.guarantee,
        contender.format,
        rate,
        written,
        len(came),
        seconds,
        markers / seconds if seconds else 0.0,
        percentiles(steady),
    )


def await_topic(servers: Servers, topic: str, contender: Contender) -> None:
    """Wait until the first row has created the topic: then the contender streams."""
    admin = AdminClient({"bootstrap.servers": servers.kafka.bootstrap_servers, "log_level": 0})
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and contender.is_alive():
        if topic in admin.list_topics(timeout=_ADMIN_SECONDS).topics:
            return
        time.sleep(_POLL_SECONDS)
    raise failed(contender, f"has not created topic {topic}")


def write_steadily(source: SourceDatabase, rate: int, seconds: float) -> None:
    """Let pgbench insert rows at `rate` a second."""
    script = source.servers.folder / "steady.sql"
    script.write_text(_INSERT, encoding="utf-8")
    least, most = _CLIENTS
    clients = max(least, min(most, rate // _COMMITS_A_CLIENT))
    program = source.servers.postgres.bin("pgbench")
    command = [
        *(
            str(program),
            "--no-vacuum",
            "--protocol",
            "prepared",
            "--file",
            str(script),
            "--client",
            str(clients),
        ),
        *("--rate", str(rate), "--time", str(int(seconds + _WARM_SECONDS)), source.dsn),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailed(
            f"pgbench ended with status {done.returncode}",
            cause=done.stderr.rstrip(),
            hint="correct the option or the server that its output names",
        )


def count_steady(source: SourceDatabase) -> int:
    """Return how many rows the steady traffic has written."""
    with psycopg.connect(source.dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {_TABLE}").fetchone()
    return int(row[0]) if row else 0


def decoder(registry: str) -> Callable[[bytes], float]:
    """Return a function that reads an event's time of insertion, in seconds since 1970."""
    decode = Decoder(registry)

    def written_at(value: bytes) -> float:
        at = decode(value)["after"]["at"]
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        return float(moment.timestamp())

    return written_at


def _decode_bare(value: bytes) -> float:
    return int(value) / _MICROSECONDS

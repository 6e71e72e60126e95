"""How fast a backlog of small rows is drained into the real broker, and at what cost.

`python -m benchmarks.drain [ROWS]`: starts Postgres and Kafka, lets the sidecar make its slot,
writes ROWS rows of five columns (about 100 bytes) in transactions of 10,000 while it is down, then
starts it and measures until every row is visible under `read_committed`. CPU is the sidecar's own,
from /proc; the truth is the record count of the topic.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition

from cdc_sidecar.demo.servers import KafkaBroker, PostgresServer, free_port

BATCH = 10_000
_TICKS = os.sysconf("SC_CLK_TCK")
_CONFIG = """
[service]
name = "bench"
[postgres]
dsn = "{dsn}"
slot = "bench"
publication = "bench"
create_slot = true
[kafka]
bootstrap_servers = "{kafka}"
[topics]
create = true
partitions = 1
replication_factor = 1
[[tables]]
name = "public.small"
columns = ["*"]
[http]
listen = "127.0.0.1:{port}"
"""
_TOPIC = "bench.public.small"


class Sidecar:
    """The sidecar as its own process."""

    def __init__(self, config: Path, port: int, log: Path) -> None:
        self._port = port
        command = [sys.executable, "-m", "cdc_sidecar", "run", "--config", str(config)]
        self.started = time.monotonic()
        self._process = subprocess.Popen(command, stderr=log.open("ab"))  # noqa: S603

    def await_ready(self) -> float:
        """Wait until it streams; return the seconds since it was started."""
        url = f"http://127.0.0.1:{self._port}/readyz"
        while True:
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return time.monotonic() - self.started
            except OSError:
                if self._process.poll() is not None:
                    raise
                time.sleep(0.01)

    def cpu_seconds(self) -> float:
        """Return user and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss_megabytes(self, name: str) -> float:
        """Return VmRSS or VmHWM."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        """Stop it in order."""
        self._process.terminate()
        self._process.wait(60)


def write(dsn: str, rows: int) -> None:
    """Write the backlog."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for start in range(0, rows, BATCH):
            connection.execute(
                "INSERT INTO small SELECT n, n %% 1000, 'customer ' || n, (n %% 100000) / 100.0,"
                " now() FROM generate_series(%s::bigint, %s::bigint) n",
                (start, start + BATCH - 1),
            )


def await_records(kafka: str, wanted: int) -> int:
    """Count the records of the topic under read_committed until all are there."""
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "bench", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
        "fetch.message.max.bytes": 8_000_000,
    })  # fmt: skip
    consumer.assign([TopicPartition(_TOPIC, 0, 0)])
    count = 0
    while count < wanted:
        for message in consumer.consume(10_000, 0.05):
            error = message.error()
            if error is None:
                count += 1
            elif error.code() not in (
                KafkaError._PARTITION_EOF,  # noqa: SLF001
                KafkaError.UNKNOWN_TOPIC_OR_PART,
            ):
                raise RuntimeError(error.str())
    consumer.close()
    return count


def main(rows: int) -> None:
    """Run the benchmark and print its figures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    with PostgresServer() as postgres, KafkaBroker() as kafka:
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE small (id bigint PRIMARY KEY, amount int, name text,"
                " price numeric(10,2), at timestamptz)"
            )
            connection.execute("CREATE PUBLICATION bench FOR TABLE small")
        port = free_port()
        config = folder / "bench.toml"
        config.write_text(
            _CONFIG.format(dsn=postgres.dsn(), kafka=kafka.bootstrap_servers, port=port)
        )
        log = folder / "sidecar.log"
        first = Sidecar(config, port, log)
        first.await_ready()
        first.stop()
        write(postgres.dsn(), rows)
        sidecar = Sidecar(config, port, log)
        ready = sidecar.await_ready()
        begun = time.monotonic()
        cpu = sidecar.cpu_seconds()
        position = f"http://127.0.0.1:{port}/metrics"
        events = 0.0
        while events < rows:
            time.sleep(0.1)
            with urllib.request.urlopen(position, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            events = sum(
                float(line.split()[-1])
                for line in lines
                if line.startswith("cdc_sidecar_events_total{")
            )
        seconds = time.monotonic() - begun
        cpu = sidecar.cpu_seconds() - cpu
        peak = sidecar.rss_megabytes("VmHWM")
        count = await_records(kafka.bootstrap_servers, rows)
        sidecar.stop()
        print(  # noqa: T201
            json.dumps(
                {
                    "rows": count,
                    "events_per_second": round(rows / seconds),
                    "cpu_microseconds_per_event": round(cpu / rows * 1e6, 2),
                    "start_to_streaming_seconds": round(ready, 2),
                    "peak_rss_megabytes": round(peak),
                }
            )
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

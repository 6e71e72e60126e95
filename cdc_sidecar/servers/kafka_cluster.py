"""Three Kafka brokers that know each other, each of which may be killed and started again."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.kafka_download import kafka_class_path

NODES: Final = (1, 2, 3)
_HEAP: Final = ("-Xms128m", "-Xmx256m")
_REPLICATED: Final = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}


class KafkaCluster:
    """Brokers by node id, each one broker and controller; two of them are a quorum."""

    def __init__(self, *, properties: Mapping[str, str] | None = None) -> None:
        """Describe the brokers; nothing runs yet. `properties` come on top of ours, on each."""
        controllers = {node: free_port() for node in NODES}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in controllers.items())
        common = {"controller.quorum.voters": voters, **_REPLICATED, **(properties or {})}
        self.brokers = {
            node: KafkaBroker(
                properties={"node.id": str(node), **common},
                heap=_HEAP,
                controller_port=port,
            )
            for node, port in controllers.items()
        }
        for broker in self.brokers.values():
            broker.cluster_id = self.brokers[NODES[0]].cluster_id

    def __enter__(self) -> Self:
        """Start all brokers at once: alone, none would find a quorum."""
        kafka_class_path()
        try:
            self._each(lambda broker: broker.start())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    @property
    def bootstrap_servers(self) -> str:
        """What a client's `bootstrap.servers` wants."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers.values())

    def close(self) -> None:
        """End all brokers and remove their data."""
        self._each(lambda broker: broker.close())

    def _each(self, act: Callable[[KafkaBroker], object]) -> None:
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(act, self.brokers.values()))

"""A cluster of three Kafka brokers, each of which can be killed and started again."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.kafka_download import kafka_class_path

NODES: Final = (1, 2, 3)  # the smallest cluster that keeps a quorum when one broker is killed
_HEAP: Final = ("-Xms128m", "-Xmx256m")  # half of one broker's: three share the machine
_REPLICATED: Final = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}


class KafkaCluster:
    """Three nodes, by node id. Each is broker and controller; two of them form a quorum."""

    def __init__(self, *, properties: Mapping[str, str] | None = None) -> None:
        """Describe the brokers without starting them. `properties` override ours on each broker."""
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
        """Start all brokers at the same time: a single one would wait for a quorum."""
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
        """Close the cluster."""
        self.close()

    @property
    def bootstrap_servers(self) -> str:
        """The value of a client's `bootstrap.servers`."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers.values())

    def close(self) -> None:
        """End all brokers and remove their data."""
        self._each(lambda broker: broker.close())

    def _each(self, act: Callable[[KafkaBroker], object]) -> None:
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(act, self.brokers.values()))

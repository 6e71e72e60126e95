"""One of three brokers is killed during writes: the sidecar recovers without help (B7, B8)."""

import time
from collections.abc import Callable

from confluent_kafka.admin import AdminClient, TopicMetadata

from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.kafka_cluster import KafkaCluster
from tests.acceptance.brokers import QUICK, end_of, service_on, written_meanwhile
from tests.acceptance.conftest import TABLES, Service
from tests.waiting import await_true

_THREE = {"replication_factor = 1": "replication_factor = 3"}
_DURABLE = TABLES + '[topics.config]\n"min.insync.replicas" = "2"\n'
_INSERT = (
    "WITH last AS (SELECT coalesce(max(id), 0) id FROM items)"
    " INSERT INTO items SELECT id + n, n, 'x' FROM last, generate_series(1, 10) n"
)


def test_the_coordinator_and_then_a_leader_killed_under_changes_lose_and_repeat_nothing(
    make_service: Callable[..., Service],
) -> None:
    with KafkaCluster(properties=QUICK) as cluster:
        service = service_on(cluster.bootstrap_servers, make_service, more=_DURABLE, **_THREE)
        service.sidecar.start()
        service.sidecar.await_phase("streaming", deadline=120)  # three brokers elect leaders
        oracle = service.oracle()
        with written_meanwhile(service, _INSERT, pause=0.02):
            service.await_published()
            transactional_id = (service.sidecar.status() or {})["transactional_id"]
            coordinator = _found(cluster, service, transactional_id)
            _kill("coordinator", coordinator, service)
            coordinator.start()
            await_true(lambda: _all_in_sync(service), deadline=60, what="every replica in sync")
            (topic,) = service.topics("items")
            leader = cluster.brokers[_topics(service)[topic].partitions[0].leader]
            _kill("leader", leader, service)
        service.await_published(deadline=90)
        await_true(lambda: _is_decided(service), deadline=60, what="every commit is marked")
        events = service.assert_exactly_once(oracle, "items")
        print(f"{events} events, 0 lost, 0 repeated")


def _found(cluster: KafkaCluster, service: Service, transactional_id: str) -> KafkaBroker:
    """Return the coordinator. Ask again if its log does not confirm it: it may have changed."""
    for _ in range(3):
        coordinator = cluster.brokers[_coordinator(service, transactional_id)]
        if f"transactionalId {transactional_id} " in coordinator.log_path.read_text():
            return coordinator
        assert service.sidecar.terminate() == 0
        service.sidecar.start_and_stream()
    raise AssertionError("no broker says that it is the coordinator")


def _kill(role: str, broker: KafkaBroker, service: Service) -> None:
    broker.kill()
    killed = time.monotonic()
    service.await_published(deadline=90)
    print(f"{role} killed: published again after {time.monotonic() - killed:.1f} s")


def _topics(service: Service) -> dict[str, TopicMetadata]:
    return AdminClient({"bootstrap.servers": service.kafka}).list_topics(timeout=20).topics


def _all_in_sync(service: Service) -> bool:
    partitions = [p for topic in _topics(service).values() for p in topic.partitions.values()]
    return all(len(partition.isrs) == len(partition.replicas) for partition in partitions)


def _is_decided(service: Service) -> bool:
    """Return whether a consumer sees everything: markers are written after the commit's answer."""
    (topic,) = service.topics("items")
    ends = [end_of(service.kafka, topic, decided=decided) for decided in (True, False)]
    return ends[0] == ends[1]


def _coordinator(service: Service, transactional_id: str) -> int:
    """Return the node that leads the partition of this id in `__transaction_state`."""
    partitions = _topics(service)["__transaction_state"].partitions
    return int(partitions[abs(_java_hash(transactional_id)) % len(partitions)].leader)


def _java_hash(text: str) -> int:
    """Return Java's `String.hashCode`."""
    code = 0
    for character in text:
        code = (31 * code + ord(character)) & 0xFFFFFFFF
    return code - (1 << 32) if code >> 31 else code

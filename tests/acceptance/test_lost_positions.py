"""A lost position is never taken for a first start (I7)."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AdminClient,
)

from tests.acceptance.conftest import Service
from tests.acceptance.own_postgres import halt_of, published_ids, slot_column
from tests.topics import delete_topics, set_topic
from tests.waiting import await_true


@pytest.fixture
def streaming(service: Service) -> Service:
    """Yield a service whose sidecar has published item 1 and streams."""
    service.sidecar.start(environment={"CDC_SIDECAR__PUBLISH__TRANSACTION_TIMEOUT": '"6s"'})
    service.sidecar.await_phase("streaming")
    service.sql("INSERT INTO items VALUES (1, 1, 'a')")
    service.await_published()
    return service


def _topic(service: Service) -> str:
    return f"_cdc.{service.name}.position"


def _delete(service: Service) -> None:
    delete_topics(service.kafka, _topic(service))


def _empty(service: Service) -> None:
    """Delete every record, which Kafka does not allow while the topic is purely compacted."""
    _set_policy(service, "delete")
    admin = AdminClient({"bootstrap.servers": service.kafka})
    everything = TopicPartition(_topic(service), 0, -1)
    admin.delete_records([everything])[everything].result(20)
    _set_policy(service, "compact")


def _set_policy(service: Service, policy: str) -> None:
    set_topic(service.kafka, _topic(service), "cleanup.policy", policy)


def test_a_position_topic_that_is_not_purely_compacted_is_refused(streaming: Service) -> None:
    assert streaming.sidecar.terminate() == 0
    for policy in ("delete", "compact,delete"):
        _set_policy(streaming, policy)
        streaming.sidecar.start()
        halt = halt_of(streaming.sidecar)
        assert halt["code"] == "CDC-405"
        assert f"cleanup.policy={policy}" in halt["fact"]
    _set_policy(streaming, "compact")
    streaming.sidecar.start_and_stream()


def test_a_position_topic_emptied_while_down_is_refused_until_a_person_decides(
    streaming: Service,
) -> None:
    assert streaming.sidecar.terminate() == 0
    streaming.sql("INSERT INTO items VALUES (2, 2, 'b')")
    before = slot_column(streaming, "confirmed_flush_lsn")
    _empty(streaming)
    streaming.sidecar.start()
    halt = halt_of(streaming.sidecar)
    assert halt["code"] == "CDC-501"
    assert str(before) in halt["fact"]
    assert slot_column(streaming, "confirmed_flush_lsn") == before
    streaming.sidecar.start_and_stream("--bootstrap")
    streaming.await_published()
    assert published_ids(streaming) == [1, 2]


def test_a_position_topic_emptied_while_running_is_written_by_the_next_commit(
    streaming: Service,
) -> None:
    _empty(streaming)
    streaming.sql("INSERT INTO items VALUES (2, 2, 'b')")
    streaming.await_published()
    streaming.sidecar.kill()
    streaming.sql("INSERT INTO items VALUES (3, 3, 'c')")
    streaming.sidecar.start_and_stream()
    streaming.await_published()
    assert published_ids(streaming) == [1, 2, 3]


def test_a_position_topic_deleted_while_running_ends_in_a_halt_and_nothing_is_published_after_it(
    streaming: Service,
) -> None:
    _delete(streaming)
    streaming.sql("INSERT INTO items VALUES (2, 2, 'b')")
    await_true(lambda: streaming.sidecar.get("/readyz")[0] == 503, what="readyz red")
    assert streaming.sidecar.get("/livez")[0] == 200
    assert halt_of(streaming.sidecar)["code"] == "CDC-501"
    assert published_ids(streaming) == [1]
    streaming.sidecar.start_and_stream("--bootstrap")
    streaming.await_published()
    assert published_ids(streaming) == [1, 2]

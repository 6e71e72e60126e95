"""When a record was published, judged by the commit LSN in its headers, or else by its time."""

import tomllib

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from cdc_sidecar.config.model import Config
from cdc_sidecar.events.position import Partial, Position
from cdc_sidecar.kafka.event_topics import EventTopics
from cdc_sidecar.kafka.position import PositionRecord, SourceIdentity
from cdc_sidecar.kafka.settlement import Age, Commit
from cdc_sidecar.postgres.lsn import Lsn
from tests.unit.config_file import MINIMAL

_OUTBOX = """
[[outboxes]]
table = "public.outbox"
topic = "out.{aggregatetype}"
"""
_TOPICS = EventTopics(Config.model_validate(tomllib.loads(MINIMAL + _OUTBOX)))
_SOURCE = SourceIdentity("7", 1, "orders", 5, "orders_cdc", "cdc")
_WRITTEN_AT = 5_000  # milliseconds since 1970
_SPLIT = Partial(Lsn(1500), 9, Lsn(1200), 0, 2, 10, {})


def _commit(partial: Partial | None = None) -> Commit:
    position = Position(Lsn(1000), partial)
    record = PositionRecord(_SOURCE, position, 3, "print", "host/1", _WRITTEN_AT * 1000)
    return Commit(record, _TOPICS)


def _message(milliseconds: int, topic: str = "shop.public.items", **headers: bytes) -> Message:
    return Message(
        topic=topic, headers=list(headers.items()), timestamp=(TIMESTAMP_CREATE_TIME, milliseconds)
    )


@pytest.mark.parametrize(
    ("milliseconds", "age"), [(4_999, Age.WITHIN), (5_000, Age.WITHIN), (5_001, Age.LATER)]
)
def test_the_time_of_a_record_decides(milliseconds: int, age: Age) -> None:
    assert _commit().age(_message(milliseconds)) is age


@pytest.mark.parametrize(
    ("lsn", "age"), [(b"1", Age.WITHIN), (b"999", Age.WITHIN), (b"1001", Age.LATER)]
)
@pytest.mark.parametrize("milliseconds", [1, 9_999])
def test_the_commit_lsn_of_an_event_counts_more_than_its_time(
    milliseconds: int, lsn: bytes, age: Age
) -> None:
    assert _commit().age(_message(milliseconds, "out.order", commit_lsn=lsn)) is age


@pytest.mark.parametrize(("milliseconds", "age"), [(4_999, Age.WITHIN), (5_001, Age.LATER)])
def test_where_one_commit_ends_and_the_next_may_begin_the_time_decides(
    milliseconds: int, age: Age
) -> None:
    assert _commit().age(_message(milliseconds, "out.order", commit_lsn=b"1000")) is age


@pytest.mark.parametrize(("milliseconds", "age"), [(4_999, Age.WITHIN), (5_001, Age.LATER)])
def test_within_a_split_transaction_the_time_decides(milliseconds: int, age: Age) -> None:
    commit = _commit(_SPLIT)
    assert commit.age(_message(milliseconds, commit_lsn=b"1500")) is age
    assert commit.age(_message(milliseconds, commit_lsn=b"1400")) is Age.LATER


def test_a_header_that_is_not_ours_does_not_count() -> None:
    assert _commit().age(_message(1, commit_lsn=b"soon")) is Age.WITHIN


@pytest.mark.parametrize("milliseconds", [1, 9_999])
def test_what_another_program_writes_to_the_topic_of_an_outbox_is_left_alone(
    milliseconds: int,
) -> None:
    assert _commit().age(_message(milliseconds, "out.order")) is Age.FOREIGN

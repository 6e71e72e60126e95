"""When a Kafka transaction is closed."""

import pytest

from cdc_sidecar.config.model import Publish
from cdc_sidecar.events.assembler import Batch
from cdc_sidecar.events.position import Position
from cdc_sidecar.postgres.lsn import Lsn
from cdc_sidecar.runtime.handover import BatchQueue
from tests.unit.publishing import Producer, publisher


@pytest.mark.parametrize(("busy", "commits"), [(True, 1), (False, 2)])
def test_a_busy_stream_gathers_what_a_quiet_one_commits_at_once(busy: bool, commits: int) -> None:  # noqa: FBT001
    producer, queue = Producer(), BatchQueue(100_000)
    queue.busy = busy
    for end in (200, 300):
        queue.put(Batch(Position(Lsn(end)), records=[("topic", b"v", b"k")], size=2), 1)
    queue.close()
    publisher(producer, queue, Publish.model_validate({"max_delay": "0ms"})).run()
    assert len(producer.commits) == commits

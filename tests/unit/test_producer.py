"""Whatever librdkafka raises inside a transaction ends the session, never the process."""

import gc
from pathlib import Path
from typing import NoReturn

import pytest

from cdc_sidecar.config.model import Kafka, Publish
from cdc_sidecar.errors import KafkaUnavailable, TransactionFailed
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings
from cdc_sidecar.runtime.memory import forget_frames
from tests.waiting import await_true


class Crashing:
    """librdkafka after a fatal error, when it had more to log; it does not tell the cause."""

    def crash(self, *_arguments: object) -> NoReturn:
        """Raise what confluent-kafka raises."""
        raise SystemError

    flush = poll = produce = crash

    def abort_transaction(self, _timeout: float) -> None:
        """Abort."""


def test_a_fatal_error_that_is_logged_on_is_a_failed_transaction() -> None:
    config = Kafka.model_validate({"bootstrap_servers": "127.0.0.1:1"})
    settings = producer_settings(config, Publish(), "t", smallest=1_000_000)
    producer = TransactionalProducer(settings)
    producer._producer = Crashing()  # type: ignore[assignment] # noqa: SLF001
    with pytest.raises(TransactionFailed):
        producer.commit()
    with pytest.raises(TransactionFailed):
        producer.produce([("t", b"")])


def _client_threads() -> int:
    names = [path.read_text(encoding="ascii") for path in Path("/proc/self/task").glob("*/comm")]
    return sum(name.startswith("rdk:") for name in names)


def test_a_producer_that_was_dropped_leaves_no_thread_though_its_error_is_kept() -> None:
    config = Kafka.model_validate({"bootstrap_servers": "127.0.0.1:1"})
    before = _client_threads()
    gc.disable()
    try:
        producer = TransactionalProducer(producer_settings(config, Publish(), "t", smallest=1000))
        with pytest.raises(KafkaUnavailable) as kept:
            producer.fence(lambda: True)
        assert _client_threads() > before
        producer.drop()
        forget_frames(kept.value)
        await_true(lambda: _client_threads() == before, what="the client's threads have ended")
        assert kept.value.__traceback__
    finally:
        gc.enable()

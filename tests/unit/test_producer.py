"""Whatever librdkafka raises inside a transaction ends the session, never the process."""

from typing import NoReturn

import pytest

from cdc_sidecar.config.model import Kafka, Publish
from cdc_sidecar.errors import TransactionFailed
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.producer import TransactionalProducer, producer_settings


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
        producer.produce([Record("t", b"", None)])

"""The settings of all Kafka clients of the sidecar, and the translation of their errors."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from cdc_sidecar.config.load import read_all
from cdc_sidecar.config.model import Kafka
from cdc_sidecar.errors import (
    KafkaRefused,
    KafkaSettingInvalid,
    KafkaUnavailable,
    ProducerFenced,
    SidecarError,
    TransactionFailed,
)

REQUEST_TIMEOUT: Final = 20.0
"""Seconds for one admin request: the brokers answer in milliseconds, and an election of leaders or
a controller that moves takes less than this."""

LOGGER: Final = logging.getLogger("librdkafka")
"""The logger of librdkafka's own lines; `cdc_sidecar.logs` forwards its warnings."""

PARTITION_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - it has no public name
"""The code with which librdkafka reports the end of a partition."""

_REFUSED: Final = frozenset({
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - confluent-kafka's own spelling of local codes
    KafkaError._SSL,  # noqa: SLF001 - as above
    KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001 - as above
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.POLICY_VIOLATION,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.TOPIC_EXCEPTION,
})  # fmt: skip
_FENCED: Final = frozenset({
    KafkaError._FENCED,  # noqa: SLF001 - as above
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
})  # fmt: skip


def client_settings(config: Kafka, **owned: object) -> dict[str, Any]:
    """Return the settings of a new client. Secrets are read now; `owned` settings take precedence.

    Raises:
        SecretUnavailable: a secret cannot be read.

    """
    mine = {name.replace("_", "."): value for name, value in owned.items()}
    base = {"bootstrap.servers": config.bootstrap_servers, "client.id": "cdc-sidecar"}
    return {**base, **read_all(config.client), **mine, "error_cb": _note_error}


_REASON_AGE: Final = 60.0
"""Seconds for which a reason that librdkafka gave is worth repeating."""
_last_reason: tuple[float, str] | None = None  # time.monotonic(), and the text


def _note_error(error: KafkaError) -> None:
    """Keep and log errors that librdkafka reports outside of calls; calls raise those that matter.

    Without this callback, `flush` would raise Python's SystemError after a fatal error.
    """
    global _last_reason  # noqa: PLW0603 - all clients have the same brokers
    if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - as above; it has no reason
        _last_reason = time.monotonic(), f"{error.name()}: {error.str()}"
    LOGGER.info("%s: %s", error.name(), error.str())


def last_reason() -> str | None:
    """Return the last reason that librdkafka gave for a lost or refused connection, if recent."""
    if _last_reason is None or time.monotonic() - _last_reason[0] > _REASON_AGE:
        return None
    return _last_reason[1]


def admin_client(config: Kafka) -> AdminClient:
    """Return a new admin client.

    Raises:
        KafkaSettingInvalid: librdkafka does not accept a setting.

    """
    settings: dict[str, Any] = {**client_settings(config), "logger": LOGGER}
    with translated():
        return AdminClient(settings)


@contextmanager
def translated() -> Iterator[None]:
    """Translate the errors of confluent-kafka into ours."""
    try:
        yield
    except KafkaException as error:
        raise translate(error.args[0]) from error


def translate(error: KafkaError) -> SidecarError:
    """Return our error for an error of Kafka."""
    fact = f"{error.name()}: {error.str()}"
    if error.code() == KafkaError._INVALID_ARG:  # noqa: SLF001 - as above
        return KafkaSettingInvalid(error.str(), hint="correct [kafka.client]")
    if error.code() in _REFUSED:
        return KafkaRefused(fact, hint="correct [kafka.client], or the sidecar's ACLs and quotas")
    if error.code() in _FENCED:
        return ProducerFenced(fact)
    if error.txn_requires_abort() or error.fatal():
        return TransactionFailed(fact)
    return KafkaUnavailable(fact)

"""The errors of an open transaction: what is retried, and what the daemon halts with if it recurs.

After any error the outcome of a transaction is unknown, so the next session begins at the position
(I8). It also reads the limits of the topics again. An error that it meets in the same way cannot
mend itself: `SidecarError.final` then says what a person must do.
"""

import re
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from cdc_sidecar.errors import (
    Disposition,
    KafkaRefused,
    KafkaUnavailable,
    ProducerFenced,
    RecordTooLarge,
    SidecarError,
    TransactionFailed,
)
from cdc_sidecar.events.record import Record
from cdc_sidecar.kafka.client import TIMED_OUT, Asked, Client, translate
from cdc_sidecar.kafka.reason import CREDENTIALS, Reason

REFUSED_AFTER: Final = 5.0
"""Seconds of waiting after which a refusal of our credentials ends the wait. A connection that was
accepted earlier may still work for a moment; the next session reads the credentials again."""
RECORD_OVERHEAD: Final = 65_536
"""Bytes that librdkafka counts for a record in addition to key and value, headers included."""
QUOTA_HINT: Final = (
    "raise the producer_byte_rate or request_percentage quota of the client, or lower"
    " publish.max_batch_bytes so that a transaction is published within publish.transaction_timeout"
)

_PARTITION: Final = re.compile(r'artition(?:\(s\)|s)? "?([A-Za-z0-9._-]+)"? ?\[')
"""The topic in librdkafka's text about a partition that cannot be part of a transaction."""


def check_credentials(client: Client, waited: float) -> None:
    """Check that the brokers have not refused our credentials while we waited for them.

    Raises:
        KafkaRefused: they have, and every new connection would be refused too.

    """
    if waited > REFUSED_AFTER and client.reason.code in CREDENTIALS:
        raise translate(KafkaError(TIMED_OUT), client)


def failure(client: Client, error: KafkaError) -> SidecarError:
    """Return our error for an error of the open transaction, which names the topic if it can."""
    known = translate(error, client, _asked(error))
    if _ends(known):
        return known
    first = client.reason.undelivered
    if client.reason.throttling and isinstance(known, KafkaUnavailable):
        return too_slow(client.reason)
    if first is None:
        return _lost(known)
    refused = translate(first.error, client, Asked("Write", f"topic {first.topic}"))
    if _ends(refused):
        return refused
    return _lost(refused, f" ({first.size} bytes for topic {first.topic})")


def too_slow(reason: Reason) -> TransactionFailed:
    """Return the error of records that were not taken within the transaction's time-out.

    If a quota delays the client, the next attempt is as large and takes as long.
    """
    throttling = reason.throttling
    known = f"a quota delays the client at {throttling}" if throttling else reason.text
    fact = "the brokers have not taken the records within the transaction's time-out"
    failed = TransactionFailed(
        f"{fact}: {known}" if known else fact, hint=QUOTA_HINT if throttling else ""
    )
    if throttling:
        failed.final = KafkaRefused(failed.fact, hint=QUOTA_HINT)
    return failed


def too_large_for_queue(record: Record, room: int) -> TransactionFailed:
    """Return the error of a record that does not fit into an empty queue of `room` bytes.

    The next session sizes the queue by the limits that the topics have then.
    """
    fact = f"{record.size} bytes for topic {record.topic}, but the client's queue takes {room}"
    needed = (record.size + RECORD_OVERHEAD) // 2
    failed = TransactionFailed(fact)
    failed.final = RecordTooLarge(
        fact,
        hint=f"set publish.max_batch_bytes to at least {needed}, because the queue takes twice as"
        " much; or leave out a column",
    )
    return failed


def check_full(messages: list[dict[str, Any]], taken: int) -> None:
    """Check that all records after the first `taken` were left out because the queue was full.

    Raises:
        KafkaException: one was refused.
        TransactionFailed: one was taken, but not those before it: order is lost.

    """
    errors = [message.pop("_error", None) for message in messages]
    for error in errors:
        if error and error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - its spelling
            raise KafkaException(error)
    if not all(errors[taken:]):
        raise TransactionFailed("librdkafka took records out of order")


def _ends(error: SidecarError) -> bool:
    """Whether an error says enough by itself: the outcome does not depend on the transaction."""
    return isinstance(error, ProducerFenced | KafkaRefused)


def _asked(error: KafkaError) -> Asked | None:
    """Return which topic a transaction was refused for, as far as librdkafka says it."""
    found = _PARTITION.search(error.str())
    return Asked("Write", f"topic {found[1]}") if found else None


def _lost(known: SidecarError, about: str = "") -> TransactionFailed:
    """Return the error of a lost transaction; it halts only if the next attempt ends alike.

    The next session reads the limits of the topics again, and may then name the row.
    """
    fact = known.fact + about
    lost = TransactionFailed(fact, cause=known.cause, hint=known.hint)
    if known.disposition is Disposition.HALT:
        lost.final = type(known)(fact, cause=known.cause, hint=known.hint)
    return lost

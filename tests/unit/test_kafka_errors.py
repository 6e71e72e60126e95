"""Every error of librdkafka has a party to blame and a hint; its reasons are kept while fresh."""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from cdc_sidecar.errors import (
    Disposition,
    InternalError,
    KafkaRefused,
    KafkaSettingInvalid,
    KafkaUnavailable,
    ProducerFenced,
    RecordTooLarge,
    SidecarError,
    TopicUnfit,
    TransactionFailed,
)
from cdc_sidecar.kafka import client as module
from cdc_sidecar.kafka import reason as reasons
from cdc_sidecar.kafka.client import Asked, translate
from cdc_sidecar.kafka.failure import failure, too_slow
from cdc_sidecar.kafka.listener import Listener
from cdc_sidecar.kafka.reason import Reason
from cdc_sidecar.kafka.verdicts import _GROUPS, VERDICTS, Verdict, verdict_on

_CODES = {
    name: getattr(KafkaError, name)
    for name in dir(KafkaError)
    if name.strip("_").isupper() and isinstance(getattr(KafkaError, name), int)
}
_AWAY = KafkaError(_CODES["_TRANSPORT"], "Failed to get metadata: Local: Broker transport failure")


class Client:
    """A client that only has a reason."""

    def __init__(self, **settings: str) -> None:
        self.reason = Reason({name.replace("_", "."): value for name, value in settings.items()})

    def poll(self, _timeout: float, /) -> None:
        """Report nothing new."""


def _told(code: str, text: str, **settings: str) -> Client:
    client = Client(**settings)
    client.reason.note_error(KafkaError(_CODES[code], text))
    client.reason.note_error(KafkaError(_CODES["_ALL_BROKERS_DOWN"], "1/1 brokers are down"))
    return client


def test_every_code_of_the_library_is_in_exactly_one_group() -> None:
    names = [name for group in _GROUPS.values() for name in group.split()]
    assert len(names) == len(set(names))
    assert set(_CODES) <= set(names)
    assert set(VERDICTS) == set(_CODES.values())


@pytest.mark.parametrize("code", _CODES.values(), ids=_CODES.keys())
def test_every_code_becomes_an_error_with_its_name_and_a_hint(code: int) -> None:
    error = translate(KafkaError(code))
    assert type(error) is not SidecarError
    assert error.hint
    assert KafkaError(code).str() in error.fact


@pytest.mark.parametrize(
    ("code", "error", "hint"),
    [
        ("_TIMED_OUT", KafkaUnavailable, "start the brokers"),
        ("NOT_ENOUGH_REPLICAS", KafkaUnavailable, "min.insync.replicas"),
        ("UNKNOWN_PRODUCER_ID", TransactionFailed, "nothing needs to be done"),
        ("PRODUCER_FENCED", ProducerFenced, "another producer"),
        ("SASL_AUTHENTICATION_FAILED", KafkaRefused, "sasl.password"),
        ("UNSUPPORTED_SASL_MECHANISM", KafkaRefused, "sasl.mechanism"),
        ("INVALID_REPLICATION_FACTOR", KafkaRefused, "replication_factor"),
        ("INVALID_CONFIG", KafkaRefused, "[topics.config]"),
        ("INVALID_TRANSACTION_TIMEOUT", KafkaRefused, "transaction.max.timeout.ms"),
        ("_INVALID_ARG", KafkaSettingInvalid, "[kafka.client]"),
        ("MSG_SIZE_TOO_LARGE", RecordTooLarge, "max.message.bytes"),
        ("RECORD_LIST_TOO_LARGE", RecordTooLarge, "segment.bytes"),
        ("INVALID_RECORD", TopicUnfit, "cleanup.policy"),
        ("UNKNOWN_MEMBER_ID", InternalError, "report it"),
    ],
)
def test_the_hint_names_what_helps(code: str, error: type[SidecarError], hint: str) -> None:
    translated = translate(KafkaError(_CODES[code]))
    assert type(translated) is error
    assert hint in translated.hint


def test_a_missing_acl_is_named_with_the_command_that_adds_it() -> None:
    client = Client(sasl_username="orders", bootstrap_servers="kafka-1:9092")
    denied = KafkaError(_CODES["TRANSACTIONAL_ID_AUTHORIZATION_FAILED"])
    error = translate(denied, client, Asked("Write", "transactional-id cdc.orders"))
    assert "operation Write on transactional-id cdc.orders" in error.fact
    for part in ("kafka-1:9092", "'User:orders'", "--operation Write", "--transactional-id 'cdc"):
        assert part in error.hint


def test_a_missing_acl_of_the_group_is_named_though_a_topic_was_read() -> None:
    denied = KafkaError(_CODES["GROUP_AUTHORIZATION_FAILED"])
    error = translate(denied, Client(), Asked("Read", "topic _cdc.orders.position"))
    assert "--operation Read --group 'cdc-sidecar-reader'" in error.hint


def test_a_refused_setting_is_named_with_the_name_that_people_use() -> None:
    text = 'Invalid value "zip" for configuration property "compression.codec"'
    error = translate(KafkaError(_CODES["_INVALID_ARG"], text))
    assert '"compression.type"' in error.hint


def test_a_lost_connection_is_told_with_its_reason_and_host() -> None:
    told = "kafka-1:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"
    error = translate(_AWAY, _told("_TRANSPORT", f"{told} (after 3ms in state CONNECT)"))
    assert isinstance(error, KafkaUnavailable)
    assert told in error.fact
    assert "3ms" not in error.fact


@pytest.mark.parametrize("code", ["_AUTHENTICATION", "_SSL"])
def test_refused_credentials_are_no_outage_and_may_mend(code: str) -> None:
    error = translate(_AWAY, _told(code, "sasl_ssl://kafka-1:9092/bootstrap: refused"))
    assert isinstance(error, KafkaRefused)
    assert error.may_mend
    assert "kafka-1:9092" in error.fact


def test_a_reason_of_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _told("_AUTHENTICATION", "kafka-1:9092/1: refused")
    monkeypatch.setattr(reasons, "FRESH", 0.0)
    assert isinstance(translate(_AWAY, client), KafkaUnavailable)


@pytest.mark.parametrize(
    ("spoken", "error"),
    [
        (Listener("SASL_SSL", ("PLAIN",)), KafkaRefused),
        (Listener("PLAINTEXT"), KafkaUnavailable),
        (None, KafkaUnavailable),
    ],
    ids=["another protocol", "ours", "no broker behind a proxy"],
)
def test_a_closed_connection_is_a_mistake_only_if_the_listener_says_so(
    monkeypatch: pytest.MonkeyPatch, spoken: Listener | None, error: type[SidecarError]
) -> None:
    asked: list[Any] = []

    def ask(host: str, port: int) -> Listener | None:
        asked.append((host, port))
        return spoken

    monkeypatch.setattr(module, "ask_listener", ask)
    client = Client()
    line = "[thrd:app]: kafka-1:9092/bootstrap: Disconnected: connection closed by peer"
    client.reason.log(6, "%s [%s] %s", "FAIL", "rdkafka#producer-1", line)
    assert type(translate(_AWAY, client)) is error
    assert asked == [("kafka-1", 9092)]


def test_a_record_that_the_brokers_refuse_is_named_and_halts_when_it_comes_again() -> None:
    client = Client()

    class Message:
        """A record that was not delivered."""

        topic, value, key = (lambda _: "orders"), (lambda _: b"12345"), (lambda _: b"k")

    too_large = KafkaError(_CODES["MSG_SIZE_TOO_LARGE"])
    client.reason.note_delivery(too_large, Message())  # type: ignore[arg-type]
    purged = KafkaError(_CODES["_PURGE_QUEUE"])
    client.reason.note_delivery(purged, Message())  # type: ignore[arg-type]
    error = failure(client, KafkaError(_CODES["_STATE"], "the transaction must be aborted"))
    assert isinstance(error, TransactionFailed)
    assert "6 bytes for topic orders" in error.fact
    assert isinstance(error.final, RecordTooLarge)
    assert error.final.disposition is Disposition.HALT


def test_a_quota_that_no_transaction_meets_is_no_outage() -> None:
    client = Client()

    class Throttled:
        """A broker delays the client."""

        broker_name, throttle_time = "kafka-1:9092/1", 2.5

    client.reason.note_throttle(Throttled())  # type: ignore[arg-type]
    for error in (too_slow(client.reason), failure(client, _AWAY)):
        assert "quota" in error.fact
        assert "kafka-1:9092" in error.fact
        assert "producer_byte_rate" in error.hint
        assert isinstance(error.final, KafkaRefused)


def test_a_file_of_certificates_that_is_being_replaced_is_tried_again() -> None:
    text = "Failed to create admin client: ssl.ca.location failed: error:05880020"
    error = translate(KafkaError(_CODES["_INVALID_ARG"], text))
    assert isinstance(error, KafkaSettingInvalid)
    assert '"ssl.ca.location"' in error.hint
    assert error.may_mend


def test_brokers_that_are_fenced_for_a_moment_are_away_and_not_too_few() -> None:
    code = KafkaError.INVALID_REPLICATION_FACTOR
    assert verdict_on(KafkaError(code, "All brokers are currently fenced")) is Verdict.AWAY
    assert verdict_on(KafkaError(code, "larger than available brokers: 1")) is not Verdict.AWAY

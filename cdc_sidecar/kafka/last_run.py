"""The record of the last run: whether the sidecar streams, was stopped or halted, and why.

It is a record of its own in the position topic, outside of transactions, and no part of the
position: only `status` and the log use it, and a run that could not write it is no worse for that.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any, Final

from confluent_kafka import Producer, TopicPartition

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import KafkaUnavailable, SidecarError
from cdc_sidecar.events.names import position_topic
from cdc_sidecar.kafka.client import (
    REQUEST_TIMEOUT,
    admin_client,
    client_settings,
    translated,
)
from cdc_sidecar.kafka.position import LAST_RUN_KEY, instance
from cdc_sidecar.kafka.read import committed_reader, read_records

RECORD_VERSION: Final = 1
_WRITE_WITHIN: Final = 2.0
"""Seconds for each of the two requests of a write: the end of the process waits for them."""
_TAIL: Final = 5000
"""Records at the end of the topic that are read. A run that wrote its record earlier has moved its
position since, which says as much."""


_CONFIGURATION: Final = ("fingerprint", "settings")
_MOST_SETTINGS: Final = 100_000
"""Bytes of settings that are kept: a tenth of what a broker accepts by default."""


class RunState(Enum):
    """What a run last said of itself."""

    STREAMING = "streaming"
    STOPPED = "stopped"
    HALTED = "halted"
    GAVE_UP = "gave up"


@dataclass(frozen=True, slots=True)
class Reason:
    """The error that ended a run."""

    code: str
    title: str
    fact: str
    where: str
    cause: str
    hint: str

    @classmethod
    def of(cls, error: SidecarError) -> "Reason":
        """Return the parts of an error."""
        return cls(**error.parts)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run that wrote the record."""

    state: RunState
    at: int  # microseconds since 1970
    instance: str  # host and process
    version: str  # of the sidecar
    reason: Reason | None = None
    fingerprint: str = ""  # of the configuration under which it has published
    settings: Mapping[str, Any] = field(default_factory=dict)  # of this configuration, by their key

    @classmethod
    def now(cls, state: RunState, version: str, reason: Reason | None = None) -> "LastRun":
        """Return the record of this process."""
        return cls(state, time.time_ns() // 1000, instance(), version, reason)

    def as_json(self) -> dict[str, Any]:
        """Return what the run says of itself as JSON can hold it."""
        said = {key: value for key, value in asdict(self).items() if key not in _CONFIGURATION}
        return {"v": RECORD_VERSION, **said, "state": self.state.value}

    def encode(self) -> bytes:
        """Return the record as it is stored; very many settings are left out."""
        settings = self.settings if len(json.dumps(self.settings)) <= _MOST_SETTINGS else {}
        known = {"fingerprint": self.fingerprint, "settings": settings}
        return json.dumps({**self.as_json(), **known}, separators=(",", ":")).encode()


def write_last_run(config: Config, run: LastRun) -> None:
    """Write the record, if the position topic exists.

    A run that has not published keeps what the one before it said of its configuration.

    Raises:
        SidecarError: the brokers do not take it soon, or refuse it.

    """
    topic = position_topic(config.service.name)
    if not _exists(config, topic, _WRITE_WITHIN):
        return
    if not run.fingerprint and (earlier := read_last_run(config)):
        run = replace(run, fingerprint=earlier.fingerprint, settings=earlier.settings)
    milliseconds = int(_WRITE_WITHIN * 1000)
    settings: dict[str, Any] = client_settings(
        config.kafka, acks="all", message_timeout_ms=milliseconds, linger_ms=0
    )
    with translated():
        producer = Producer(settings)
        producer.produce(topic, run.encode(), LAST_RUN_KEY.encode(), 0)
        left = producer.flush(_WRITE_WITHIN)
        if left:
            producer.purge()
            raise KafkaUnavailable(f"topic {topic} did not take the record of the last run")


def _exists(config: Config, topic: str, timeout: float) -> bool:
    with translated():
        return topic in admin_client(config.kafka).list_topics(timeout=timeout).topics


def read_last_run(config: Config) -> LastRun | None:
    """Return the record; None if there is none among the last records of the topic.

    Raises:
        KafkaUnavailable: the topic cannot be read.

    """
    topic, found = position_topic(config.service.name), None
    if not _exists(config, topic, REQUEST_TIMEOUT):
        return None
    reader = committed_reader(config.kafka, "read_uncommitted")
    try:
        with translated():
            partition = TopicPartition(topic, 0)
            _, end = reader.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT, cached=False)
        for key, value in read_records(reader, topic, max(0, end - _TAIL), None):
            if key == LAST_RUN_KEY.encode() and value:
                found = value
    finally:
        reader.close()
    return decode_last_run(found) if found else None


def decode_last_run(value: bytes) -> LastRun | None:
    """Return the record; None for one that this version does not understand."""
    try:
        content = json.loads(value)
        reason = content["reason"] and Reason(
            **{name: str(content["reason"][name]) for name in Reason.__slots__}
        )
        state, at = RunState(content["state"]), int(content["at"])
        run = LastRun(state, at, str(content["instance"]), str(content["version"]), reason or None)
        fingerprint, settings = content.get("fingerprint", ""), content.get("settings", {})
        return replace(run, fingerprint=str(fingerprint), settings=dict(settings))
    except (ValueError, KeyError, TypeError):
        return None

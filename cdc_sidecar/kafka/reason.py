"""What librdkafka says about its connections outside of calls; a call only fails or times out.

A call that fails because no broker could be used reports "broker transport failure" and no more.
The reason, such as a refused password, comes to `error_cb` or only to the log.
"""

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, Message, ThrottleEvent

LOGGER: Final = logging.getLogger("librdkafka")
"""The logger of librdkafka's own lines; `cdc_sidecar.logs` forwards its warnings."""

FRESH: Final = 30.0
"""Seconds for which a reason counts: librdkafka connects again at least every ten seconds, so a
reason that still holds is repeated in this time."""

CREDENTIALS: Final = frozenset({
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - confluent-kafka's own spelling of local codes
    KafkaError._SSL,  # noqa: SLF001 - as above
})  # fmt: skip
"""The codes with which librdkafka reports that client and broker do not accept each other."""

_NO_REASON: Final = frozenset({
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - as above
    KafkaError._FATAL,  # noqa: SLF001 - as above
    KafkaError.NO_ERROR,
})  # fmt: skip
"""Codes that say nothing which a failed call does not say as well."""
_CONSEQUENCES: Final = frozenset({
    KafkaError._PURGE_QUEUE,  # noqa: SLF001 - as above
    KafkaError._PURGE_INFLIGHT,  # noqa: SLF001 - as above
    KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001 - as above
})  # fmt: skip
"""Codes of records that failed because another one did."""
_PLACE: Final = re.compile(r"(?:\w+://)?\[?([^\s/]+?)\]?:(\d+)/\w+: ")
"""The broker at the beginning of librdkafka's texts: `sasl_ssl://kafka-1:9093/bootstrap: …`."""
_DURATION: Final = re.compile(r" \(after \d+ms in state (\w+)(?:, \d+ identical [^)]*\)[^)]*)?\)")
"""The part of the texts that differs each time."""
_CLOSED: Final = "Disconnected"
_WAS_UP: Final = "in state UP"


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A record that the brokers did not take."""

    error: KafkaError
    topic: str
    size: int  # bytes of key and value


class Reason:
    """The last reason of one client. Its methods are called by the thread that calls the client.

    It stands as the client's logger too: that a broker closed the connection is only logged.
    """

    def __init__(self, settings: Mapping[str, object]) -> None:
        """Begin without a reason; `settings` are the client's."""
        self.protocol = str(settings.get("security.protocol", "plaintext")).upper()
        self.username = str(settings.get("sasl.username", ""))
        self.servers = str(settings.get("bootstrap.servers", ""))
        self._code: int | None = None
        self._text = ""
        self._at = float("-inf")
        self._throttled = ""
        self._throttled_at = float("-inf")
        self.undelivered: Undelivered | None = None  # the first record
        self.disconnections = 0  # of brokers that had answered

    @property
    def text(self) -> str:
        """The reason with the broker's address; empty if there is none that is fresh."""
        fresh = time.monotonic() - self._at < FRESH
        return _DURATION.sub(r" (in state \1)", self._text) if fresh else ""

    @property
    def code(self) -> int | None:
        """The code of the reason; None if librdkafka gave none."""
        return self._code if self.text else None

    @property
    def throttling(self) -> str:
        """Which broker delays the client because of a quota; empty if none does."""
        return self._throttled if time.monotonic() - self._throttled_at < FRESH else ""

    @property
    def closed_by(self) -> tuple[str, int] | None:
        """The address of a broker that accepted the connection and closed it, if that happened."""
        place = _PLACE.match(self.text)
        return (place[1], int(place[2])) if place and _CLOSED in self.text else None

    def note_error(self, error: KafkaError) -> None:
        """Keep an error that librdkafka reports outside of calls: `error_cb`.

        Without this callback, `flush` would raise Python's SystemError after a fatal error.
        """
        LOGGER.info("%s: %s", error.name(), error.str())
        if error.code() not in _NO_REASON:
            self._keep(error.code(), error.str())

    def note_throttle(self, event: ThrottleEvent) -> None:
        """Keep which broker delays the client: `throttle_cb`."""
        if event.throttle_time > 0:
            self._throttled = f"{event.broker_name} by {event.throttle_time:.1f} s"
            self._throttled_at = time.monotonic()

    def note_delivery(self, error: KafkaError | None, message: Message) -> None:
        """Keep the first record that the brokers did not take: `on_delivery`."""
        if error is not None and not self.undelivered and error.code() not in _CONSEQUENCES:
            size = len(message.value() or b"") + len(message.key() or b"")
            self.undelivered = Undelivered(error, message.topic() or "", size)

    def log(self, level: int, template: str, *arguments: object) -> None:
        """Keep and pass on a line of librdkafka's log: the logger of a client has this method."""
        LOGGER.log(level, template, *arguments)
        if arguments and arguments[0] == "FAIL":
            text = str(arguments[-1]).partition("]: ")[2]
            self.disconnections += _WAS_UP in text
            if _DURATION.sub("", text) != _DURATION.sub("", self._text):
                self._keep(None, text)

    def _keep(self, code: int | None, text: str) -> None:
        global _latest  # noqa: PLW0603 - all clients have the same brokers
        self._code, self._text, self._at = code, text, time.monotonic()
        _latest = self


_latest: Reason | None = None
"""The client that had a reason last."""


def last_reason() -> str | None:
    """Return the last reason that any client had, if it is fresh: for the report of an outage."""
    return (_latest.text or None) if _latest else None

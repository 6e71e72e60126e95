"""The settings of all Kafka clients of the sidecar, and the translation of their errors.

No client may be called while an exception is handled. confluent-kafka never frees an error that it
raises, and the error refers to the exception that is handled at that time (its context), that one
to its frames, and they to everything that a session has made. `error_of` helps to keep this rule.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from cdc_sidecar.config.load import read_all
from cdc_sidecar.config.model import Kafka
from cdc_sidecar.errors import (
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
from cdc_sidecar.kafka.listener import ask_listener
from cdc_sidecar.kafka.reason import CREDENTIALS, Reason
from cdc_sidecar.kafka.verdicts import AUTHENTICATE, GENERAL_HINTS, HINTS, Verdict, verdict_on

T = TypeVar("T")

REQUEST_TIMEOUT: Final = 20.0
"""Seconds for one admin request: the brokers answer in milliseconds, and an election of leaders or
a controller that moves takes less than this."""

PROBE_TIMEOUT: Final = 3.0
"""Seconds for the question whether a broker answers: a shutdown waits for it at most."""

PARTITION_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - it has no public name
"""The code with which librdkafka reports the end of a partition."""

GROUP: Final = "cdc-sidecar-reader"
"""The consumer group of all readers, which commit no offsets."""

TIMED_OUT: Final = KafkaError._TIMED_OUT  # noqa: SLF001 - as above
"""The code of a request without an answer."""
_QUOTA_HINT: Final = (
    "raise the quota of the client: controller_mutation_rate limits how many topics it creates, and"
    " request_percentage limits all requests"
)
_NAMED_SETTING: Final = re.compile(r'configuration property:? "([^"]+)"')
"""The setting in librdkafka's texts about one."""
_ALIASES: Final[Mapping[str, str]] = {
    "compression.codec": "compression.type",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "message.send.max.retries": "retries",
    "message.timeout.ms": "delivery.timeout.ms",
    "queue.buffering.max.ms": "linger.ms",
    "request.required.acks": "acks",
    "sasl.mechanisms": "sasl.mechanism",
}
"""Other names of settings, which librdkafka accepts but does not use in its texts."""

_ACLS: Final = "docs/how-to/deploy-beside-a-service.md#kafka-acls lists what the sidecar needs"


class Client(Protocol):
    """A client of librdkafka with its reason; `poll` delivers what librdkafka has to say."""

    reason: Reason

    def poll(self, timeout: float, /) -> object:
        """Call the callbacks that are due."""


AnyClient = Client | AdminClient
"""A client whose reason is asked for; an admin client of other code has none."""


class Asked(NamedTuple):
    """What a request wants, in the words of Kafka's ACLs: `Describe` of `topic orders`."""

    operation: str
    resource: str

    @property
    def options(self) -> str:
        """The options of `kafka-acls.sh` that allow this, and what else the resource needs."""
        kind, _, name = self.resource.partition(" ")
        needed = [self.operation]
        if kind == "transactional-id":
            needed = ["Describe", "Write"]
        elif kind == "topic" and self.operation in ("Describe", "DescribeConfigs", "Write"):
            needed = ["Describe", "DescribeConfigs", "Write"] + ["Read"] * name.startswith("_cdc.")
        operations = " ".join(f"--operation {operation}" for operation in needed)
        return f"{operations} --{kind} {name!r}" if name else f"{operations} --{kind}"


class Admin(AdminClient):
    """An admin client that keeps librdkafka's last reason."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.reason: Reason = settings["logger"]
        super().__init__(settings)


def client_settings(config: Kafka, **owned: object) -> dict[str, Any]:
    """Return the settings of a new client. Secrets are read now; `owned` settings take precedence.

    Raises:
        SecretUnavailable: a secret cannot be read.

    """
    mine = {name.replace("_", "."): value for name, value in owned.items()}
    base = {"bootstrap.servers": config.bootstrap_servers, "client.id": "cdc-sidecar"}
    settings = {**base, **read_all(config.client), **mine}
    reason = Reason(settings)
    callbacks = {"error_cb": reason.note_error, "throttle_cb": reason.note_throttle}
    return {**settings, **callbacks, "logger": reason}


def admin_client(config: Kafka) -> Admin:
    """Return a new admin client.

    Raises:
        KafkaSettingInvalid: librdkafka does not accept a setting.

    """
    with translated():
        return Admin(client_settings(config))


def ask_brokers(config: Kafka) -> None:
    """Ask with a new client whether a broker answers: secrets and certificates may have changed.

    Raises:
        KafkaUnavailable: no broker answers within a few seconds.
        KafkaRefused: a broker answers and refuses the client.

    """
    admin = admin_client(config)
    with translated(admin):
        admin.list_topics(timeout=PROBE_TIMEOUT)


@contextmanager
def translated(client: AnyClient | None = None, asked: Asked | None = None) -> Iterator[None]:
    """Translate the errors of confluent-kafka into ours, with the reason that `client` knows."""
    try:
        yield
    except KafkaException as error:
        raise translate(error.args[0], client, asked) from error


def error_of(call: Callable[[], object]) -> KafkaException | SystemError | None:
    """Make a call and return its error, so that nothing is handled when the error is dealt with.

    A SystemError means that librdkafka had another report after a fatal error: confluent-kafka then
    calls us while the exception of the error is set. It never frees this one, so its traceback, and
    with that the frames, are taken off.
    """
    try:
        call()
    except (KafkaException, SystemError) as error:
        return error.with_traceback(None)
    return None


def answer_of(future: Future[T], client: AnyClient | None = None, asked: Asked | None = None) -> T:
    """Return the answer to an admin request.

    The future must not raise its exception: the exception would refer to the frames of all callers,
    and they to the future. Only the garbage collector, which runs rarely, could free the clients.

    Raises:
        SidecarError: the translated error of the request.

    """
    error = future.exception()
    if isinstance(error, KafkaException):
        raise translate(error.args[0], client, asked) from error
    return future.result()


def code_of(future: Future[T]) -> int | None:
    """Return the code of the error with which a request failed; None if it succeeded."""
    error = future.exception()
    return error.args[0].code() if isinstance(error, KafkaException) else None


def translate(
    error: KafkaError, client: AnyClient | None = None, asked: Asked | None = None
) -> SidecarError:
    """Return our error for an error of Kafka.

    An error that only says that no broker could be used becomes what `client` knows of the cause.
    """
    reason = _reason_of(client)
    fact, code = f"{error.name()}: {error.str()}", error.code()
    verdict = verdict_on(error)
    if verdict is Verdict.AWAY and reason and reason.throttling and code == TIMED_OUT:
        return KafkaUnavailable(
            f"a quota delays the client at {reason.throttling} ({fact})", hint=_QUOTA_HINT
        )
    if verdict is Verdict.AWAY and reason and reason.text:
        return _translate_reason(reason, fact)
    if verdict is Verdict.CREDENTIALS:
        return _credentials(code, fact)
    if verdict is Verdict.PERMISSION:
        in_group = code == KafkaError.GROUP_AUTHORIZATION_FAILED
        return _permission(fact, Asked("Read", f"group {GROUP}") if in_group else asked, reason)
    if verdict is Verdict.SETTING:
        return _setting(error.str())
    lost = verdict is Verdict.AWAY and (error.fatal() or error.txn_requires_abort())
    kind = TransactionFailed if lost else _KINDS[verdict]
    return kind(fact, hint=HINTS.get(code) or GENERAL_HINTS.get(verdict, ""))


_KINDS: Final[dict[Verdict, type[SidecarError]]] = {
    Verdict.AWAY: KafkaUnavailable,
    Verdict.TRANSACTION: TransactionFailed,
    Verdict.FENCED: ProducerFenced,
    Verdict.REFUSED: KafkaRefused,
    Verdict.TOO_LARGE: RecordTooLarge,
    Verdict.UNFIT: TopicUnfit,
    Verdict.FOREIGN: InternalError,
}


def _reason_of(client: AnyClient | None) -> Reason | None:
    """Return the client's reason after its callbacks were called; None if it keeps none."""
    reason: Reason | None = getattr(client, "reason", None)
    if client is None or reason is None:
        return None
    with suppress(KafkaException, SystemError):  # a producer after a fatal error raises them
        client.poll(0)
    return reason


def _translate_reason(reason: Reason, fact: str) -> SidecarError:
    """Return the error behind a call that only reports that no broker could be used."""
    if reason.code in CREDENTIALS:
        return _credentials(reason.code, reason.text)
    return _mismatch(reason) or KafkaUnavailable(
        f"{reason.text} ({fact})",
        hint=HINTS.get(reason.code or 0, ""),
    )


def _mismatch(reason: Reason) -> KafkaRefused | None:
    """Return the error of a client that speaks another protocol than the listener, if it does."""
    address = reason.closed_by
    listener = ask_listener(*address) if address else None
    if address is None or listener is None or listener.protocol == reason.protocol:
        return None
    offered = f" ({', '.join(listener.mechanisms)})" if listener.mechanisms else ""
    return KafkaRefused(
        f"listener {address[0]}:{address[1]} speaks {listener.protocol}{offered}, but"
        f" security.protocol is {reason.protocol}",
        hint=f'set "security.protocol" = "{listener.protocol}" in [kafka.client], or name the port'
        f" of a {reason.protocol} listener in kafka.bootstrap_servers",
    )


def _credentials(code: int | None, fact: str) -> KafkaRefused:
    """Return a refusal that may end without a restart, if somebody is replacing a secret."""
    refused = KafkaRefused(fact, hint=_credentials_hint(code, fact))
    refused.may_mend = True
    return refused


def _credentials_hint(code: int | None, fact: str) -> str:
    if "certificate verify failed" in fact or "could not be verified" in fact:
        return (
            'set "ssl.ca.location" in [kafka.client] to the certificate of the authority that'
            " signed the broker's, and connect to a host that the broker's certificate names"
        )
    if "nsupported SASL mechanism" in fact:
        return HINTS[KafkaError.UNSUPPORTED_SASL_MECHANISM]
    if "current SASL state" in fact:
        return HINTS[KafkaError.ILLEGAL_SASL_STATE]
    if code == KafkaError._SSL:  # noqa: SLF001 - its spelling
        return 'correct "ssl.certificate.location" and "ssl.key.location" in [kafka.client]'
    return HINTS.get(code or 0, AUTHENTICATE)


def _permission(fact: str, asked: Asked | None, reason: Reason | None) -> KafkaRefused:
    """Return the error of a missing ACL, with the command that adds it if everything is known."""
    if asked is None:
        return KafkaRefused(fact, hint=f"add the missing ACL: {_ACLS}")
    return KafkaRefused(
        f"{fact}: operation {asked.operation} on {asked.resource}",
        hint=permission_hint(reason, asked),
    )


def permission_hint(reason: Reason | None, *asked: Asked) -> str:
    """Return the commands that allow what was refused."""
    who = reason.username if reason and reason.username else "ANONYMOUS"
    servers = reason.servers if reason else ""
    commands = dict.fromkeys(
        f"run kafka-acls.sh --bootstrap-server {servers} --add --allow-principal 'User:{who}'"
        f" {each.options}"
        for each in asked
    )
    principal = "(the broker's log names the principal of a client certificate)"
    return f"{'; '.join(commands)} {principal}; {_ACLS}"


def _setting_hint(fact: str) -> str:
    named = _NAMED_SETTING.search(fact)
    setting = f'"{named[1]}"' if named else "the setting that the message names"
    if named and named[1] in _ALIASES:
        setting += f' (also called "{_ALIASES[named[1]]}")'
    return f"correct {setting} in [kafka.client], or remove it: then Kafka's default is used"


def _setting(fact: str) -> KafkaSettingInvalid:
    """Return the error of a setting; a file that cannot be read may be one that is replaced."""
    name = fact.partition(": ")[2].partition(" failed")[0] if ".location failed" in fact else ""
    if not name:
        return KafkaSettingInvalid(fact, hint=_setting_hint(fact))
    invalid = KafkaSettingInvalid(
        fact, hint=f'correct "{name}" in [kafka.client], or the file that it names'
    )
    invalid.may_mend = True
    return invalid

"""Asks a listener over a bare socket which protocol it speaks, when it closes our connections.

A client whose `security.protocol` does not fit the listener sees only a lost connection, as it does
while a proxy has no broker behind it. The listener's own answer to a SaslHandshake request tells
the two apart (Kafka protocol guide, "SaslHandshake" and "SASL Authentication Sequence").
"""

import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

TIMEOUT: Final = 2.0
"""Seconds for each connection: the listener has just accepted another, and a session waits."""

_SASL_HANDSHAKE: Final = 17  # the request's api key
_UNSUPPORTED_MECHANISM: Final = 33  # the error of a listener with SASL: it names its mechanisms
_ILLEGAL_STATE: Final = 34  # the error of a listener without SASL
_NO_ANSWER: Final = (OSError, ValueError, struct.error)
_LONGEST_ANSWER: Final = 10_000  # bytes; a listener of another protocol may send any length


@dataclass(frozen=True, slots=True)
class Listener:
    """The protocol of a listener, as `security.protocol` names it, and its SASL mechanisms."""

    protocol: str
    mechanisms: tuple[str, ...] = ()


def ask_listener(host: str, port: int) -> Listener | None:
    """Return what the listener speaks, or None if it does not answer as a Kafka broker does."""
    with suppress(*_NO_ANSWER), socket.create_connection((host, port), TIMEOUT) as plain:
        return _spoken(plain, "PLAINTEXT", "SASL_PLAINTEXT")
    with (
        suppress(*_NO_ANSWER),
        socket.create_connection((host, port), TIMEOUT) as plain,
        _any_certificate().wrap_socket(plain, server_hostname=host) as secret,
    ):
        return _spoken(secret, "SSL", "SASL_SSL")
    return None


def _any_certificate() -> ssl.SSLContext:
    """Return a context that trusts every certificate: nothing is sent that could be stolen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _spoken(connection: socket.socket, without: str, with_sasl: str) -> Listener:
    """Ask for the SASL mechanisms.

    Raises:
        OSError, ValueError, struct.error: this is no answer of a Kafka broker.

    """
    header = struct.pack(">hhi", _SASL_HANDSHAKE, 1, 1) + _string(b"cdc-sidecar")
    request = header + _string(b"none")
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _receive(connection, 4))
    answer = _receive(connection, length)
    correlation, error, count = struct.unpack_from(">ihi", answer)
    if correlation != 1 or error not in (_UNSUPPORTED_MECHANISM, _ILLEGAL_STATE):
        raise ValueError
    if error == _ILLEGAL_STATE:
        return Listener(without)
    return Listener(with_sasl, _strings(answer[10:], count))


def _string(text: bytes) -> bytes:
    return struct.pack(">h", len(text)) + text


def _strings(content: bytes, count: int) -> tuple[str, ...]:
    found, at = [], 0
    for _ in range(count):
        (length,) = struct.unpack_from(">h", content, at)
        found.append(content[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return tuple(found)


def _receive(connection: socket.socket, length: int) -> bytes:
    if not 0 <= length <= _LONGEST_ANSWER:
        raise ValueError
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ValueError
        received += part
    return received

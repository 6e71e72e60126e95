"""The path and the body of an HTTP request, as any client may send them (RFC 9112)."""

from email.message import Message
from http import HTTPStatus
from io import BufferedIOBase
from typing import Final
from urllib.parse import urlsplit

LARGEST_BODY: Final = 4_000_000
"""Bytes of a request's body: the schema of a table with 1,600 columns has less than a megabyte."""
_LONGEST_LINE: Final = 1000  # of a chunk's size with its extensions, or of a trailer
_LONGEST_SIZE: Final = 16  # digits


class BodyRefused(Exception):
    """The body of a request cannot be read; the connection cannot be used any further."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def path_of(target: str) -> str:
    """Return the path of a request target; a second slash at its start begins no host name."""
    path = target if target.startswith("/") else urlsplit(target).path
    return "/" + path.partition("?")[0].partition("#")[0].lstrip("/")


def read_body(headers: Message, stream: BufferedIOBase) -> bytes:
    """Return the body of a request; none is an empty one.

    Raises:
        BodyRefused: it is too large, cut off or malformed.

    """
    coding = headers.get("Transfer-Encoding", "").strip().lower()
    if coding == "chunked":
        return _read_chunks(stream)
    if coding:
        raise BodyRefused(HTTPStatus.NOT_IMPLEMENTED)
    return _read(stream, _size(headers.get("Content-Length", "0").strip(), 10))


def _read_chunks(stream: BufferedIOBase) -> bytes:
    body = bytearray()
    while size := _size(_line(stream).partition(";")[0].strip(), 16):
        if len(body) + size > LARGEST_BODY:
            raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body += _read(stream, size)
        if _line(stream):
            raise BodyRefused(HTTPStatus.BAD_REQUEST)
    while _line(stream):
        pass  # trailers
    return bytes(body)


def _line(stream: BufferedIOBase) -> str:
    line = stream.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise BodyRefused(HTTPStatus.BAD_REQUEST)
    return line.decode("latin-1").rstrip("\r\n")


def _size(digits: str, base: int) -> int:
    if not (digits.isascii() and digits.isalnum() and len(digits) <= _LONGEST_SIZE):
        raise BodyRefused(HTTPStatus.BAD_REQUEST)
    try:
        return int(digits, base)
    except ValueError:
        raise BodyRefused(HTTPStatus.BAD_REQUEST) from None


def _read(stream: BufferedIOBase, size: int) -> bytes:
    if size > LARGEST_BODY:
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = stream.read(size)
    if len(body) < size:
        raise BodyRefused(HTTPStatus.BAD_REQUEST)
    return body

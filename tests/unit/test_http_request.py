"""The body of a request is read whole, however a client sends it, or refused before it is."""

import io
from email.message import Message
from http import HTTPStatus

import pytest

from cdc_sidecar.http.request import LARGEST_BODY, BodyRefused, path_of, read_body

_REST = b"GET /next"


def _headers(**fields: str) -> Message:
    headers = Message()
    for name, value in fields.items():
        headers[name.replace("_", "-")] = value
    return headers


@pytest.mark.parametrize(
    ("headers", "sent", "body"),
    [
        (_headers(), b"", b""),
        (_headers(Content_Length="0"), b"", b""),
        (_headers(Content_Length="5"), b"hello", b"hello"),
        (_headers(Transfer_Encoding="chunked"), b"0\r\n\r\n", b""),
        (_headers(Transfer_Encoding="Chunked"), b"5\r\nhello\r\nA;x=y\r\n, you all!\r\n0\r\n\r\n",
         b"hello, you all!"),
        (_headers(Transfer_Encoding="chunked"), b"1\r\nx\r\n0\r\nTrailer: y\r\n\r\n", b"x"),
    ],
    ids=["none", "empty", "length", "no chunk", "chunks", "trailer"],
)  # fmt: skip
def test_a_body_is_read_to_its_end_and_no_further(
    headers: Message, sent: bytes, body: bytes
) -> None:
    stream = io.BytesIO(sent + _REST)
    assert read_body(headers, stream) == body
    assert stream.read() == _REST, "the next request is not touched"


@pytest.mark.parametrize(
    ("headers", "sent", "status"),
    [
        (_headers(Content_Length="5"), b"hell", HTTPStatus.BAD_REQUEST),
        (_headers(Content_Length="-1"), b"", HTTPStatus.BAD_REQUEST),
        (_headers(Content_Length="²"), b"", HTTPStatus.BAD_REQUEST),
        (_headers(Content_Length="9" * 5000), b"", HTTPStatus.BAD_REQUEST),
        (_headers(Content_Length=str(LARGEST_BODY + 1)), b"", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (_headers(Transfer_Encoding="gzip"), b"", HTTPStatus.NOT_IMPLEMENTED),
        (_headers(Transfer_Encoding="chunked"), b"3\r\nab", HTTPStatus.BAD_REQUEST),
        (_headers(Transfer_Encoding="chunked"), b"3\r\nabcd\r\n", HTTPStatus.BAD_REQUEST),
        (_headers(Transfer_Encoding="chunked"), b"x\r\n", HTTPStatus.BAD_REQUEST),
        (_headers(Transfer_Encoding="chunked"), b"1" * 5000, HTTPStatus.BAD_REQUEST),
        (_headers(Transfer_Encoding="chunked"), b"ffffff\r\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ],
)
def test_a_body_without_a_good_end_is_refused(
    headers: Message, sent: bytes, status: HTTPStatus
) -> None:
    with pytest.raises(BodyRefused) as refused:
        read_body(headers, io.BytesIO(sent))
    assert refused.value.status is status


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/subjects?deleted=true", "/subjects"),
        ("//subjects/a-value/versions", "/subjects/a-value/versions"),
        ("http://host:9464/subjects", "/subjects"),
        ("/subjects/a%2Fb", "/subjects/a%2Fb"),
        ("*", "/*"),
    ],
)
def test_a_path_is_found_in_every_form_of_a_request_target(target: str, path: str) -> None:
    assert path_of(target) == path

"""The reading part of Confluent's Schema Registry API, answered from the built-in registry.

Paths, bodies and error codes are those of the Schema Registry documentation, "API Reference". Query
parameters are ignored: nothing is deleted here, and schemas are always compared when parsed.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from cdc_sidecar.events.registry.records import SchemaVersion
from cdc_sidecar.events.registry.subjects import Subjects

Answer = tuple[int, Any]
"""Status and body: bytes as they are sent, anything else as JSON."""

_LARGEST_VERSION: Final = 2**31 - 1
_NUMBER: Final = re.compile("[0-9]{1,10}")
_NOTHING: Final[Answer] = (200, [])
_NO_SUBJECT: Final = (404, {"error_code": 40401, "message": "Subject not found."})
_NO_VERSION: Final = (404, {"error_code": 40402, "message": "Version not found."})
_NO_SCHEMA: Final = (404, {"error_code": 40403, "message": "Schema not found"})
_BAD_SCHEMA: Final = (422, {"error_code": 42201, "message": "Input schema is an invalid schema"})
_BAD_VERSION: Final = (422, {"error_code": 42202, "message": "The specified version is not valid."})


def refusal(status: int, phrase: str) -> Answer:
    """Return the answer to a request that has no code of its own."""
    return status, {"error_code": status, "message": f"HTTP {status} {phrase}"}


_FOUND: Final = 200
_NOT_LOADED: Final = refusal(503, "Service Unavailable")
_NOT_FOUND: Final = refusal(404, "Not Found")
_NOT_ALLOWED: Final = refusal(405, "Method Not Allowed")


def answer_get(subjects: Subjects, path: str) -> Answer:
    """Return status and body of a GET.

    Until the schemas are loaded, it is not known that a schema does not exist.
    """
    answer = _answer_get(subjects, path)
    lacks = answer in (_NOTHING, _NO_SUBJECT, _NO_VERSION, _NO_SCHEMA)
    return _NOT_LOADED if lacks and not subjects.complete else answer


def _answer_get(subjects: Subjects, path: str) -> Answer:  # noqa: C901, PLR0911 - a table
    match _parts(path):
        case ["subjects"]:
            return 200, subjects.names()
        case ["subjects", _]:  # a POST looks a schema up
            return _NOT_ALLOWED
        case ["subjects", subject, "versions"]:
            return _versions(subjects, subject)
        case ["subjects", subject, "versions", version]:
            return _version(subjects, subject, version, _body)
        case ["subjects", subject, "versions", version, "schema"]:
            return _version(subjects, subject, version, lambda found: found.schema.encode())
        case ["schemas", "types"]:
            return 200, ["AVRO"]
        case ["schemas", "ids", identifier, *rest] if _NUMBER.fullmatch(identifier):
            return _by_id(subjects, int(identifier), rest)
        case ["config"]:
            return 200, {"compatibilityLevel": "FULL"}
        case ["config", subject]:
            known = subjects.versions(subject)
            return (200, {"compatibilityLevel": "FULL"}) if known else _NO_SUBJECT
        case ["mode"] | ["mode", _]:
            return 200, {"mode": "READONLY"}
        case _:
            return _NOT_FOUND


def answer_post(subjects: Subjects, path: str, content: bytes) -> Answer:
    """Return status and body of a POST, which asks for the version of a schema."""
    match _parts(path):
        case ["subjects", subject]:
            return _find(subjects, subject, content, _body)
        case ["subjects", subject, "versions"]:  # a producer that registers what is there already
            status, body = _find(subjects, subject, content, lambda found: {"id": found.id})
            return (status, body) if status == _FOUND else _NOT_ALLOWED
        case _:
            return answer_other(subjects, path)


def answer_other(subjects: Subjects, path: str) -> Answer:
    """Return status and body of a method that changes something."""
    return _NOT_FOUND if _answer_get(subjects, path) is _NOT_FOUND else _NOT_ALLOWED


def methods_of(path: str) -> str:
    """Return the methods of a path, for the header `Allow`."""
    match _parts(path):
        case ["subjects", _]:
            return "POST"
        case ["subjects", _, "versions"]:
            return "GET, HEAD, POST"
        case _:
            return "GET, HEAD"


def _parts(path: str) -> list[str]:
    return [unquote(part) for part in path.strip("/").split("/")]


def _find(
    subjects: Subjects, subject: str, content: bytes, say: Callable[[SchemaVersion], object]
) -> Answer:
    """Find the version of a subject whose schema is the one in the body of a request."""
    try:
        schema = json.loads(content)["schema"]
        found = subjects.find(subject, schema)
    except (ValueError, KeyError, TypeError, RecursionError):
        return _BAD_SCHEMA
    if found:
        return _FOUND, say(found)
    if not subjects.complete:
        return _NOT_LOADED
    return _NO_SCHEMA if subjects.versions(subject) else _NO_SUBJECT


def _versions(subjects: Subjects, subject: str) -> Answer:
    versions = subjects.versions(subject)
    return (200, [version.version for version in versions]) if versions else _NO_SUBJECT


def _version(
    subjects: Subjects, subject: str, version: str, say: Callable[[SchemaVersion], object]
) -> Answer:
    versions = subjects.versions(subject)
    if not versions:
        return _NO_SUBJECT
    if version in ("latest", "-1"):
        return 200, say(versions[-1])
    if not _NUMBER.fullmatch(version) or not 1 <= int(version) <= _LARGEST_VERSION:
        return _BAD_VERSION
    found = next((known for known in versions if known.version == int(version)), None)
    return (200, say(found)) if found else _NO_VERSION


def _body(found: SchemaVersion) -> dict[str, object]:
    return {
        "subject": found.subject,
        "version": found.version,
        "id": found.id,
        "schemaType": "AVRO",
        "schema": found.schema,
    }


def _by_id(subjects: Subjects, identifier: int, rest: list[str]) -> Answer:
    schema = subjects.schema(identifier)
    if schema is None:
        return _NO_SCHEMA
    match rest:
        case []:
            return 200, {"schemaType": "AVRO", "schema": schema}
        case ["schema"]:
            return 200, schema.encode()
        case ["versions"]:
            uses = subjects.uses(identifier)
            return 200, [{"subject": use.subject, "version": use.version} for use in uses]
        case ["subjects"]:
            return 200, [use.subject for use in subjects.uses(identifier)]
        case _:
            return _NOT_FOUND

"""The read-only part of Confluent's Schema Registry API, answered from the built-in registry.

Paths, bodies and error codes are those of the Schema Registry documentation, "API Reference".
"""

from typing import Any

from cdc_sidecar.events.registry.records import SchemaVersion
from cdc_sidecar.events.registry.subjects import Subjects

Answer = tuple[int, Any]

_NOT_FOUND = (404, {"error_code": 404, "message": "HTTP 404 Not Found"})
_NO_SUBJECT = (404, {"error_code": 40401, "message": "Subject not found."})
_NO_VERSION = (404, {"error_code": 40402, "message": "Version not found."})
_NO_SCHEMA = (404, {"error_code": 40403, "message": "Schema not found"})
_BAD_VERSION = (422, {"error_code": 42202, "message": "The specified version is not valid."})


def answer(subjects: Subjects, path: str) -> Answer:  # noqa: PLR0911 - a table of paths
    """Return status and body of a GET."""
    match path.strip("/").split("/"):
        case ["subjects"]:
            return 200, subjects.names()
        case ["subjects", subject, "versions"]:
            return _versions(subjects, subject)
        case ["subjects", subject, "versions", version]:
            return _version(subjects, subject, version, bare=False)
        case ["subjects", subject, "versions", version, "schema"]:
            return _version(subjects, subject, version, bare=True)
        case ["schemas", "types"]:
            return 200, ["AVRO"]
        case ["schemas", "ids", identifier, *rest] if identifier.isdigit():
            return _by_id(subjects, int(identifier), rest)
        case ["config"]:
            return 200, {"compatibilityLevel": "FULL"}
        case ["config", subject]:
            known = subjects.versions(subject)
            return (200, {"compatibilityLevel": "FULL"}) if known else _NO_SUBJECT
        case ["mode"]:
            return 200, {"mode": "READONLY"}
        case _:
            return _NOT_FOUND


def _versions(subjects: Subjects, subject: str) -> Answer:
    versions = subjects.versions(subject)
    return (200, [version.version for version in versions]) if versions else _NO_SUBJECT


def _version(subjects: Subjects, subject: str, version: str, *, bare: bool) -> Answer:
    versions = subjects.versions(subject)
    if not versions:
        return _NO_SUBJECT
    if version in ("latest", "-1"):
        found: SchemaVersion | None = versions[-1]
    elif version.isdigit():
        found = next((known for known in versions if known.version == int(version)), None)
    else:
        return _BAD_VERSION
    if found is None:
        return _NO_VERSION
    if bare:
        return 200, found.schema
    body = {
        "subject": found.subject,
        "version": found.version,
        "id": found.id,
        "schemaType": "AVRO",
        "schema": found.schema,
    }
    return 200, body


def _by_id(subjects: Subjects, identifier: int, rest: list[str]) -> Answer:
    schema = subjects.schema(identifier)
    if schema is None:
        return _NO_SCHEMA
    match rest:
        case []:
            return 200, {"schemaType": "AVRO", "schema": schema}
        case ["schema"]:
            return 200, schema
        case ["versions"]:
            uses = subjects.uses(identifier)
            return 200, [{"subject": use.subject, "version": use.version} for use in uses]
        case ["subjects"]:
            return 200, [use.subject for use in subjects.uses(identifier)]
        case _:
            return _NOT_FOUND

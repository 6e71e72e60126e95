"""Schemas by their id, from Confluent's API: `GET /schemas/ids/{id}`. The sidecar serves it too."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from cdc_sidecar_client.consumer.errors import (
    ConfigurationInvalid,
    RegistryUnavailable,
    SchemaMissing,
    Undecodable,
)

_NOT_FOUND: Final = 404
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json"


class SchemaRegistry:
    """Reads schemas from one or several registries, and keeps them for as long as it lives.

    `urls` are separated by commas. Each is asked in turn until one has the schema: name the
    sidecars of all services whose events you read, and their standbys. `headers` are sent with each
    request, for example `{"Authorization": "Basic ..."}`. `timeout` is in seconds.
    """

    def __init__(
        self, urls: str, *, headers: Mapping[str, str] | None = None, timeout: float = 10.0
    ) -> None:
        self._urls = [url.strip().rstrip("/") for url in urls.split(",") if url.strip()]
        if not self._urls or not all(u.startswith(("http://", "https://")) for u in self._urls):
            hint = "name the sidecar's http.listen: http://orders-cdc:9464"
            raise ConfigurationInvalid(f"registry {urls!r} is not a list of URLs", hint=hint)
        self._headers = {"Accept": _ACCEPT, **(headers or {})}
        self._timeout = timeout
        self._known: dict[int, Any] = {}

    def schema(self, identifier: int) -> Any:  # noqa: ANN401 - a parsed schema of fastavro
        """Return the parsed schema of an id.

        Raises:
            RegistryUnavailable: a registry that may have it does not answer.
            SchemaMissing: every registry answered that it has no such schema.
            Undecodable: the schema is not valid Avro.

        """
        if identifier not in self._known:
            self._known[identifier] = self._parsed(identifier)
        return self._known[identifier]

    def _parsed(self, identifier: int) -> Any:  # noqa: ANN401 - as above
        text = self._found(identifier)
        try:
            return fastavro.parse_schema(json.loads(json.loads(text)["schema"]))
        except (ValueError, KeyError, TypeError, SchemaParseException, UnknownType) as error:
            raise Undecodable(f"schema {identifier} is not valid: {error!r}") from error

    def _found(self, identifier: int) -> bytes:
        failures: list[str] = []
        for url in self._urls:
            answer = self._ask(f"{url}/schemas/ids/{identifier}", failures)
            if answer is not None:
                return answer
        if failures:
            raise RegistryUnavailable("; ".join(failures))
        raise SchemaMissing(f"no schema {identifier} in {', '.join(self._urls)}")

    def _ask(self, url: str, failures: list[str]) -> bytes | None:
        """Return an answer, or None. A registry that does not answer is added to `failures`."""
        try:
            return self._get(url)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != _NOT_FOUND:
                failures.append(f"{url}: {error}")
        except (OSError, HTTPException) as error:
            failures.append(f"{url}: {error!r}")
        return None

    def _get(self, url: str) -> bytes:
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - http or https
        with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

"""Asks a running sidecar over HTTP as its configuration says: with its TLS and its credentials.

The sidecar is asked directly, whatever proxy the environment names.
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.config.process import Http
from cdc_sidecar.errors import SidecarRefuses
from cdc_sidecar.http.probe import accepting_only

TIMEOUT: Final = 5.0
"""Seconds to wait for the sidecar, which answers from memory; then it counts as down."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sidecar has answered."""

    status: int  # of HTTP
    body: bytes


def address_of(config: Config) -> str:
    """Return the URL of the configured HTTP address, as seen from this host."""
    return config.http.address.url(config.http.scheme)


def ask(config: Config, path: str, url: str | None = None) -> Answer | None:
    """Return what the sidecar answers to a GET; None if nothing answers in time.

    `url` is its address if it is not the configured one.

    Raises:
        SidecarRefuses: it answers, but does not accept the credentials of the configuration.
        SecretUnavailable: a credential of the configuration cannot be read.

    """
    address = url or address_of(config)
    request = urllib.request.Request(f"{address}{path}", headers=_credentials(config.http))  # noqa: S310 - http or https
    try:
        with _opener(config.http, given=url is not None).open(request, timeout=TIMEOUT) as answer:
            return Answer(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            if error.code == HTTPStatus.UNAUTHORIZED:
                raise _refusal(address) from None
            return Answer(error.code, error.read())
    except (OSError, ValueError):
        return None


def ask_status(config: Config, url: str | None = None) -> dict[str, Any] | None:
    """Return `/status` of the sidecar; None if no sidecar answers.

    Raises:
        SidecarRefuses, SecretUnavailable: as in `ask`.

    """
    answer = ask(config, "/status", url)
    try:
        body: dict[str, Any] = json.loads(answer.body) if answer else {}
        return body if {"service", "phase", "ready"} <= body.keys() else None
    except (ValueError, AttributeError):
        return None


def _credentials(http: Http) -> dict[str, str]:
    if http.bearer_token:
        return {"Authorization": f"Bearer {http.bearer_token.read()}"}
    if http.username and http.password:
        words = f"{http.username.read()}:{http.password.read()}"
        return {"Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}
    return {}


def _opener(http: Http, *, given: bool) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if http.tls_certificate:
        context = _trust(http.tls_certificate, given=given)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)


def _trust(certificate: str, *, given: bool) -> ssl.SSLContext:
    """Return the context that trusts the configured certificate itself.

    At the configured address, no other certificate is accepted. At a given URL, the usual
    authorities count too, and the name is checked.
    """
    if not given:
        return accepting_only(certificate)
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context


def _refusal(address: str) -> SidecarRefuses:
    return SidecarRefuses(
        f"the sidecar at {address} does not accept the credentials of [http]",
        hint="use the configuration file of that sidecar, with its username and password or its"
        " bearer_token in [http]",
    )

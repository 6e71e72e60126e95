"""Who may read: basic or bearer authentication for everything but the probes (RFC 7617, RFC 6750).

Secrets are read for each request, so one that was rotated counts at once. They are compared in
constant time, as digests, so neither the time nor the length tells anything about them.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

from cdc_sidecar.config.process import Http
from cdc_sidecar.config.secret import Secret

OPEN: Final = frozenset({"/livez", "/readyz"})
"""Paths that need no authentication: the kubelet has none."""
_REALM: Final = 'realm="cdc-sidecar"'


class Access:
    """The credentials of one server, or none."""

    def __init__(self, config: Http) -> None:
        self._username = config.username
        self._password = config.password
        self._token = config.bearer_token

    def allows(self, path: str, authorization: str) -> bool:
        """Return whether a request may be answered; `authorization` is its header, or empty.

        Raises:
            SecretUnavailable: a secret cannot be read, so nobody can be let in.

        """
        if path in OPEN or not (self._password or self._token):
            return True
        scheme, _, credentials = authorization.partition(" ")
        match scheme.lower():
            case "basic" if self._username and self._password:
                return self._is_user(self._username, self._password, credentials.strip())
            case "bearer" if self._token:
                return _same(credentials.strip().encode(), self._token)
            case _:
                return False

    @staticmethod
    def _is_user(username: Secret, password: Secret, credentials: str) -> bool:
        try:
            name, _, word = base64.b64decode(credentials, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        right_name, right_word = _same(name, username), _same(word, password)
        return right_name and right_word

    @property
    def challenges(self) -> list[str]:
        """The values of `WWW-Authenticate` in a refusal."""
        basic = [f'Basic {_REALM}, charset="UTF-8"'] if self._password else []
        return basic + ([f"Bearer {_REALM}"] if self._token else [])


def _same(given: bytes, secret: Secret) -> bool:
    wanted = hashlib.sha256(secret.read().encode()).digest()
    return hmac.compare_digest(hashlib.sha256(given).digest(), wanted)

"""Which errors end the process: some may mend themselves, and some come again until a person acts.

Credentials are replaced in two places, and never in the same moment. A refusal is therefore retried
for a while, longer if they are kept in files, where somebody can replace them. An error that names
what to do if it recurs (`SidecarError.final`) is retried once.
"""

import time
from typing import Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.config.secret import Secret
from cdc_sidecar.errors import Disposition, SidecarError

PATIENCE: Final = 5.0
"""Seconds in which refused credentials are tried again: a broker that has just started, or a server
of tokens, may refuse what it accepts a moment later."""
PATIENCE_WITH_FILES: Final = 30.0
"""Seconds, if files hold the credentials: whoever replaces them does so soon, and after a halt the
sidecar's supervisor starts it again anyway."""
_FILES_OF_LIBPQ: Final = ("sslrootcert", "sslcert", "sslkey", "passfile")


class Patience:
    """Decides about the error of each session; used by the main thread."""

    def __init__(self, config: Config) -> None:
        self._seconds = PATIENCE_WITH_FILES if _in_files(config) else PATIENCE
        self._refused_since: float | None = None  # time.monotonic()
        self._commits: int | None = None  # when the last error with `final` came
        self._final: type[SidecarError] | None = None

    def judge(self, error: SidecarError, commits: int, *, streamed: bool) -> SidecarError:
        """Return the error that counts: the error, or its `final` if it has come again.

        `commits` are those of the position so far; `streamed` says whether the session streamed.
        """
        if streamed:
            self._refused_since = None
        if error.final is None:
            return error
        again = self._final is type(error.final) and self._commits == commits
        self._final, self._commits = type(error.final), commits
        return error.final if again else error

    def retries(self, error: SidecarError) -> bool:
        """Return whether another session may follow this error."""
        if error.disposition is Disposition.RETRY:
            return True
        if not error.may_mend:
            return False
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        return now - self._refused_since < self._seconds


def _in_files(config: Config) -> bool:
    """Return whether files hold passwords, keys or certificates."""
    client, dsn = config.kafka.client, config.postgres.dsn
    secrets: list[Secret | None] = [*client.values(), dsn, config.postgres.password]
    return (
        any(secret is not None and secret.kind == "file" for secret in secrets)
        or any(name.endswith(".location") for name in client)
        or any(f"{word}=" in dsn.place for word in _FILES_OF_LIBPQ)
    )

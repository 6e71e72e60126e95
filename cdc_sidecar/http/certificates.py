"""TLS for the HTTP server: the files of its certificate are read again when they change."""

import ssl
from pathlib import Path
from typing import Final

from cdc_sidecar.errors import HttpUnavailable
from cdc_sidecar.logs import get_logger

_HINT: Final = (
    "name a certificate and its key as PEM files that the sidecar's user may read, without a"
    " password, in http.tls_certificate and http.tls_key"
)
_Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """The certificate and the key; used by the thread that accepts clients."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both files.

        Raises:
            HttpUnavailable: a file cannot be read, or the key does not belong to the certificate.

        """
        self._certificate, self._key = certificate, key
        self._stamp = self._stamp_now()
        self._context = self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """The context of the next connection.

        Files that have changed and cannot be used leave the former ones in force.
        """
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp
            self._renew()
        return self._context

    def _renew(self) -> None:
        log = get_logger()
        try:
            self._context = self._load()
        except HttpUnavailable as error:
            log.warning("tls_certificate_refused", **error.parts)
        else:
            log.info("tls_certificate_loaded", certificate=str(self._certificate))

    def _stamp_now(self) -> _Stamp:
        return tuple(_stamp(path) for path in (self._certificate, self._key))

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # without a function for the password, OpenSSL would ask for it on the terminal
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:  # an SSLError is an OSError
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise HttpUnavailable(
                f"{self._certificate} and {self._key} cannot be used for TLS: {reason}", hint=_HINT
            ) from error
        return context


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is replaced; zeros if it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ino, found.st_size

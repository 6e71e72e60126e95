"""`cdc-sidecar health`: whether the sidecar on this host works, for HEALTHCHECK and exec probes."""

from pathlib import Path
from typing import Final

import typer

from cdc_sidecar.errors import HttpUnasked
from cdc_sidecar.http.probe import ask_health, configured_target

_HINT: Final = (
    "  cause: no sidecar runs with this configuration on this host, or it hangs\n"
    "  hint:  see how it ended with `cdc-sidecar status`, and start it with `cdc-sidecar run`"
)


def health(path: Path, *, ready: bool) -> int:
    """Print the answer of `/livez`, or of `/readyz`; return 0 if it is good, else 1.

    Raises:
        ConfigUnreadable, ConfigInvalid: the configuration names no address.
        HttpUnasked: the configured port is 0.

    """
    target = configured_target(path)
    if not target.address.port:
        raise HttpUnasked(
            f"http.listen is {target.address}",
            cause="with port 0 the sidecar takes any free port, which no other process knows",
            hint="set another port than 0 in [http] listen, for the sidecar and for this command",
        )
    found = ask_health(target, "/readyz" if ready else "/livez")
    good = "ready" if ready else "healthy"
    if not found.answered:
        typer.echo(f"not {good}: no answer from {found.url}: {found.text}\n{_HINT}", err=True)
    else:
        typer.echo(f"{'' if found.good else 'not '}{good}: {found.url} says {found.text}")
    return 0 if found.good else 1

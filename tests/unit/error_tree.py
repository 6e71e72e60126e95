"""All errors of the sidecar."""

from cdc_sidecar.errors import SidecarError


def every_error() -> tuple[type[SidecarError], ...]:
    """Return all errors that have a code of their own, in the order of their codes."""
    found = SidecarError.__subclasses__()
    for error in found:  # of which there are more and more
        found.extend(error.__subclasses__())
    coded = (error for error in found if "code" in vars(error))
    return tuple(sorted(coded, key=lambda error: error.code))

"""Errors 9xx: the sidecar itself."""

from cdc_sidecar.errors.tree import HaltError, RetryError


class InternalError(HaltError, code="CDC-901", title="internal error"):
    """A state that must never occur. It is reported as an error and never skipped (I6)."""

    advice = "there is no cure: report it with the log"


class FailpointHit(RetryError, code="CDC-902", title="failpoint raised"):
    """An armed failpoint raised this error; only tests arm failpoints."""

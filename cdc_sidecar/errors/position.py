"""Errors 5xx: the position and the source."""

from cdc_sidecar.errors.tree import HaltError, UsageError


class PositionMissing(HaltError, code="CDC-501", title="slot has no saved position"):
    """A slot exists without a position; the position topic may have been lost."""

    advice = "restore the topic; if it is lost, call `cdc-sidecar run --bootstrap` once"


class PositionUnreadable(HaltError, code="CDC-502", title="position cannot be read"):
    """The position record has an unknown version or is malformed."""

    advice = "run the newest version of the sidecar that this service has used"


class SourceChanged(HaltError, code="CDC-503", title="source is a different database"):
    """The database is not the one that the position belongs to."""


class SlotAhead(HaltError, code="CDC-504", title="slot is ahead of the position"):
    """The slot was confirmed beyond the position, so the changes between them are lost."""


class WalWentBack(HaltError, code="CDC-505", title="WAL ends before the position"):
    """The server's WAL ends before the published position."""


class ConfigChangedInside(
    HaltError, code="CDC-506", title="configuration changed inside a split transaction"
):
    """The configuration changed while a split transaction was half published."""


class PositionElsewhere(
    HaltError, code="CDC-507", title="position belongs to another transactional id or slot"
):
    """The service has a position under another transactional id, or for another slot."""


class ChangesLeftOut(HaltError, code="CDC-508", title="changes of a table may be missing"):
    """A table was not in the publication for a while, or not with every operation."""


class SidecarRunning(UsageError, code="CDC-510", title="a sidecar is running"):
    """A command that needs the slot was called while a sidecar runs."""


class PositionOutOfReach(UsageError, code="CDC-511", title="slot cannot serve this position"):
    """The slot cannot serve changes from the requested position."""


class SnapshotRefused(UsageError, code="CDC-512", title="snapshot request is refused"):
    """A request about snapshots names no captured table, or nobody could take it."""


class PruneRefused(UsageError, code="CDC-513", title="outbox cannot be pruned"):
    """It is not certain that the rows are published, or how old they are."""

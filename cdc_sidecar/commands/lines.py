"""What several commands show: a slot as JSON."""

from typing import Any

from cdc_sidecar.postgres.lsn import format_lsn
from cdc_sidecar.postgres.slot import SlotStatus


def slot_as_json(name: str, slot: SlotStatus | None) -> dict[str, Any]:
    """Return a slot as JSON; `slot` is None if it does not exist, or could not be read."""
    return {
        "name": name,
        "exists": slot is not None,
        "active_pid": slot.active_pid if slot else None,
        "wal_status": slot.wal_status if slot else None,
        "confirmed_flush_lsn": format_lsn(slot.confirmed_flush_lsn) if slot else None,
        "confirmed_lag_bytes": slot.confirmed_lag_bytes if slot else None,
        "retained_bytes": slot.retained_bytes if slot else None,
        "safe_wal_size": slot.safe_wal_size if slot else None,
    }

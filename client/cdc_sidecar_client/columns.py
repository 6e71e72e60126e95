"""The columns of an outbox by their role."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from cdc_sidecar_client.errors import OutboxMistaken

_REQUIRED: Final = ("id", "aggregatetype", "aggregateid", "type", "payload")
_OPTIONAL: Final = ("traceparent", "tracestate")
_OF_CALLER: Final = ("partition", "timestamp", "version")

Columns = Mapping[str, str | None]


def columns_by_role(given: Columns) -> dict[str, str]:
    """Return the column of each role that the outbox has. By default it has the role's name.

    Raises:
        OutboxMistaken: a role is unknown, or a column that every outbox needs is left out.

    """
    roles = (*_REQUIRED, *_OPTIONAL, *_OF_CALLER)
    for role in given:
        if role not in roles:
            close = get_close_matches(role, roles, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(roles)}"
            raise OutboxMistaken(f"columns has the role {role}, which is unknown; {hint}")
    chosen = {role: given.get(role, role) for role in roles}
    for role in _REQUIRED:
        if not chosen[role]:
            raise OutboxMistaken(f"columns leaves out {role}, which every outbox needs")
    return {role: name for role, name in chosen.items() if name}

"""Which twin routes outbox rows: the compiled one together with those of `events.twin`."""

from cdc_sidecar.events import twin
from cdc_sidecar.events.outbox import rows

RowRouter: type[rows.RowRouter] = rows.RowRouter
if twin.NAME == "native":
    from cdc_sidecar.events import _outbox

    RowRouter = _outbox.RowRouter

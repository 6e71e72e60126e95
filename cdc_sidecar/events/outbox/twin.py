"""Which twins make the events of outboxes: the compiled ones if `events.twin` has them too."""

from cdc_sidecar.events import twin
from cdc_sidecar.events.outbox import messages, rows

RowRouter: type[rows.RowRouter] = rows.RowRouter
MessageRouter: type[messages.MessageRouter] = messages.MessageRouter
if twin.NAME == "native":
    from cdc_sidecar.events import _outbox

    RowRouter = _outbox.RowRouter
    MessageRouter = _outbox.MessageRouter

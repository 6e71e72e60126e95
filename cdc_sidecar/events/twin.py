"""Which twins run: the compiled ones where they were built, else the plain ones.

`CDC_SIDECAR_TRANSCODER=python` forces the plain ones. With `native`, the sidecar does not start
without the compiled ones.
"""

import os
from typing import Final, cast

from cdc_sidecar.events import envelope, ports, record, transcode
from cdc_sidecar.events.payload import encode

VARIABLE: Final = "CDC_SIDECAR_TRANSCODER"

Transcoder: type[ports.Transcoder] = transcode.Transcoder
SourceTransaction: type[ports.SourceTransaction] = envelope.SourceTransaction
PayloadEncoder: type[ports.PayloadEncoder] = encode.PayloadEncoder
# an envelope accepts only transactions of its own twin; this module always pairs the two
Envelope = cast("type[ports.Envelope]", envelope.Envelope)
runs_of = record.runs_of
messages_of = record.messages_of
produce_each = record.produce_each
largest_of = transcode.largest_of
NAME = "python"

if os.environ.get(VARIABLE) != "python":
    try:
        from cdc_sidecar.events import _envelope, _payload, _transaction, _transcode
    except ImportError:
        if os.environ.get(VARIABLE) == "native":
            raise
    else:
        Transcoder = _transcode.Transcoder
        PayloadEncoder = _payload.PayloadEncoder
        SourceTransaction = _transaction.SourceTransaction
        Envelope = cast("type[ports.Envelope]", _envelope.Envelope)
        runs_of = _transaction.runs_of
        messages_of = _transaction.messages_of
        produce_each = _transaction.produce_each
        largest_of = _transcode.largest_of
        NAME = "native"

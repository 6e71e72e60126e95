"""Which twins run: the compiled ones where they were built, else the plain ones.

`CDC_SIDECAR_TRANSCODER=python` forces the plain ones, `native` refuses to start without the others.
"""

import os
from typing import Final

from cdc_sidecar.events import envelope, transcode

VARIABLE: Final = "CDC_SIDECAR_TRANSCODER"

Transcoder: type[transcode.Transcoder] = transcode.Transcoder
TableEnvelope: type[envelope.TableEnvelope] = envelope.TableEnvelope
SourceTransaction: type[envelope.SourceTransaction] = envelope.SourceTransaction
NAME = "python"

if os.environ.get(VARIABLE) != "python":
    try:
        from cdc_sidecar.events import _envelope, _transcode
    except ImportError:
        if os.environ.get(VARIABLE) == "native":
            raise
    else:
        Transcoder, TableEnvelope = _transcode.Transcoder, _envelope.TableEnvelope
        SourceTransaction, NAME = _envelope.SourceTransaction, "native"

"""Which of the two transcoders runs: the compiled one where it was built, else the plain one.

`CDC_SIDECAR_TRANSCODER=python` forces the plain one, `native` refuses to start without the other.
"""

import os
from typing import Final

from cdc_sidecar.events.transcode import Transcoder as _Plain

VARIABLE: Final = "CDC_SIDECAR_TRANSCODER"

Transcoder: type[_Plain] = _Plain
NAME = "python"

if os.environ.get(VARIABLE) != "python":
    try:
        from cdc_sidecar.events._transcode import Transcoder as _Native
    except ImportError:
        if os.environ.get(VARIABLE) == "native":
            raise
    else:
        Transcoder, NAME = _Native, "native"

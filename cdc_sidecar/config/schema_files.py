"""The schema files of event types: the loader puts their text in the place of their names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_schema_files(document: dict[str, Any], folder: Path) -> Iterator[str]:
    """Read the file of each event type of each outbox; yield mistakes.

    A relative name is meant from the folder of the configuration.
    """
    outboxes = document.get("outboxes")
    for number, outbox in enumerate(outboxes if isinstance(outboxes, list) else ()):
        events = outbox.get("events") if isinstance(outbox, dict) else None
        for name, event in events.items() if isinstance(events, dict) else ():
            if isinstance(event, dict) and isinstance(event.get("schema"), str):
                mistake = _read(event, folder)
                if mistake:
                    yield f"outboxes[{number}].events.{name}.schema: {mistake}"


def _read(event: dict[str, Any], folder: Path) -> str:
    """Put the text in the place of the file's name; return why that cannot be done."""
    file = folder / event["schema"]
    try:
        text = file.read_text(encoding="utf-8")
        event["schema"] = text
        json.loads(text)
    except FileNotFoundError:
        return f"{file} does not exist"
    except (OSError, UnicodeDecodeError) as error:
        return f"{file} cannot be read: {type(error).__name__}"
    except ValueError as error:
        return f"{file} is not JSON: {error}"
    return ""

"""What has changed in the configuration since the position was written, for the log."""

import json
from collections.abc import Mapping
from typing import Any, Final

from cdc_sidecar.config.model import Config
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.kafka.last_run import read_last_run
from cdc_sidecar.kafka.position import PositionRecord

_UNSET: Final = "unset"


def changes_since(record: PositionRecord, config: Config, capture: Capture) -> dict[str, list[str]]:
    """Return the keys that were added, removed and changed, and the settings of changed keys.

    The keys are known if there are not too many. The settings are known if the last run has written
    under which configuration it published, and the position is of this configuration.
    """
    changes = changed_keys(record.parts, capture.parts)
    if "changed" in changes:
        before = _settings_of_last_run(config, record.fingerprint)
        now = capture.settings
        kept = [key for key in changes["changed"] if key in before]
        settings = [line for key in kept for line in changed_settings(key, before[key], now[key])]
        changes |= {"settings": settings} if settings else {}
    return changes


def _settings_of_last_run(config: Config, fingerprint: str) -> Mapping[str, Any]:
    try:
        run = read_last_run(config)
    except SidecarError:  # the log has less to say then
        return {}
    return run.settings if run and run.fingerprint == fingerprint else {}


def changed_keys(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, list[str]]:
    """Return which keys were added, removed and changed; nothing if that was not recorded."""
    if not before or not now:
        return {}
    changes = {
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
        "changed": sorted(key for key in now.keys() & before.keys() if now[key] != before[key]),
    }
    return {how: keys for how, keys in changes.items() if keys}


def changed_settings(key: str, before: object, now: object) -> list[str]:
    """Return each setting of a key that has changed, with its former and its present value."""
    was, is_now = _settings(key, before), _settings(key, now)
    return [
        f"{name}: {was.get(name, _UNSET)} -> {is_now.get(name, _UNSET)}"
        for name in sorted(was.keys() | is_now.keys())
        if was.get(name) != is_now.get(name)
    ]


def _settings(key: str, value: object) -> dict[str, str]:
    """Return the settings below a key by their full names, as JSON."""
    if isinstance(value, Mapping):
        below = (_settings(f"{key}.{name}", item) for name, item in value.items())
        return {name: text for each in below for name, text in each.items()}
    return {key: json.dumps(value, ensure_ascii=False)}

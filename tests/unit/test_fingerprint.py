"""The fingerprint changes with each key that changes events, and with no other."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, create_model

from cdc_sidecar.config.model import Config, Table
from cdc_sidecar.events import fingerprint as module
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.fingerprint import fingerprint

_CONFIG: dict[str, Any] = {
    "service": {"name": "shop"},
    "postgres": {"dsn": "host=db", "slot": "shop", "publication": "shop"},
    "kafka": {"bootstrap_servers": "kafka:9092"},
    "tables": [{"name": "public.orders", "columns": ["*"], "column": {"id": {"rename": "x"}}}],
    "outboxes": [
        {
            "table": "public.outbox",
            "payload": "avro",
            "headers": {"tenant": "tenant"},
            "envelope": {"tenant": "tenant"},
            "events": {"Paid": {"schema": '{"type": "record", "name": "Paid", "fields": []}'}},
        }
    ],
}

_EVENTS: dict[str, object] = {
    "service.name": "other",
    "tables.name": "public.other",
    "tables.columns": ("id", "total"),
    "tables.key": ("id",),
    "tables.unkeyed": True,
    "tables.tombstones": False,
    "tables.truncate": "halt",
    "tables.incomplete_before": "publish",
    "tables.former_names": ("public.old",),
    "tables.exclude": ("public.old",),
    "tables.optional": ("id",),
    "tables.on_error": "park",
    "tables.column.rename": "y",
    "tables.column.mask": "hash",
    "tables.column.as_": "text",
    "tables.column.logical": False,
    "outboxes.table": "public.other",
    "outboxes.topic": "{aggregatetype}",
    "outboxes.prefix": "other",
    "outboxes.key": "raw",
    "outboxes.payload": "raw",
    "outboxes.payload_as": "text",
    "outboxes.columns.id": "other",
    "outboxes.columns.aggregatetype": "other",
    "outboxes.columns.aggregateid": "other",
    "outboxes.columns.type": "other",
    "outboxes.columns.payload": "other",
    "outboxes.columns.traceparent": "other",
    "outboxes.columns.tracestate": "other",
    "outboxes.columns.partition": "other",
    "outboxes.columns.timestamp": "other",
    "outboxes.columns.version": "other",
    "outboxes.headers": {"tenant": "other"},
    "outboxes.envelope": {"tenant": "other"},
    "outboxes.events.schema_": '{"type": "record", "name": "Other", "fields": []}',
    "outboxes.on_error": "park",
    "outboxes.former_names": ("public.old",),
    "messages.prefixes": ("audit",),
    "transactions.topic": True,
}
"""Each key that changes events, with another value."""

_NO_EVENT_KEYS = {
    "tables.dropped": True,
    "tables.snapshot": False,
    "tables.generation": 2,
    "outboxes.dropped": True,
    "outboxes.prune": 3600.0,
    "outboxes.events.compatibility": "none",
}
"""Each key of the same sections that changes no event, with another value."""

_NO_EVENTS = {
    *("postgres", "kafka", "topics", "publish", "snapshot", "notifications"),
    *("http", "log", "shutdown", "tracing"),
}
"""Sections whose keys change no event: how the source and Kafka are reached, and when."""


def _config(**changes: object) -> Config:
    return Config.model_validate({**_CONFIG, **changes})


def _keys(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Return every key of a model by its path; those of nested models instead of their own."""
    for name, field in model.model_fields.items():
        nested = _model(field.annotation)
        if nested:
            yield from _keys(nested, f"{path}{name}.")
        else:
            yield path + name


def _model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type, or a generic one
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)


def test_every_key_is_classified_as_changing_events_or_not() -> None:
    found = {key for key in _keys(Config) if key.partition(".")[0] not in _NO_EVENTS}
    assert found == {*_EVENTS, *_NO_EVENT_KEYS}


def _changed(value: Any, path: list[str], new: object) -> Any:  # noqa: ANN401 - a model or a value
    """Return a copy in which one key has another value; validation would refuse some of them."""
    if not path:
        return new
    match value:
        case tuple():
            return tuple(_changed(item, path, new) for item in value)
        case dict():
            return {name: _changed(item, path, new) for name, item in value.items()}
        case _:
            name, *rest = path
            return value.model_copy(update={name: _changed(getattr(value, name), rest, new)})


@pytest.mark.parametrize("key", sorted(_EVENTS))
def test_each_key_that_changes_events_changes_the_fingerprint(key: str) -> None:
    config = _config()
    other = _changed(config, key.split("."), _EVENTS[key])
    assert Capture.of(other).fingerprint != Capture.of(config).fingerprint


@pytest.mark.parametrize("key", sorted(_NO_EVENT_KEYS))
def test_each_key_that_changes_no_event_leaves_the_fingerprint(key: str) -> None:
    config = _config()
    other = _changed(config, key.split("."), _NO_EVENT_KEYS[key])
    assert Capture.of(other).fingerprint == Capture.of(config).fingerprint


def test_tables_that_are_ignored_on_purpose_change_it() -> None:
    postgres = {"dsn": "host=db", "slot": "s", "publication": "p", "ignored_tables": ["public.old"]}
    assert Capture.of(_config(postgres=postgres)).fingerprint != Capture.of(_config()).fingerprint


def test_keys_of_other_sections_do_not_change_it() -> None:
    other = _config(
        postgres={"dsn": "host=other", "slot": "other", "publication": "other"},
        kafka={"bootstrap_servers": "other:9092", "transactional_id": "other"},
        topics={"create": True, "partitions": 3, "replication_factor": 1},
        publish={"max_delay": "1s"},
        http={"listen": "127.0.0.1:1"},
        log={"level": "debug"},
        shutdown={"grace": "1s"},
    )
    assert Capture.of(other).fingerprint == Capture.of(_config()).fingerprint


def test_defaults_that_are_spelled_out_and_another_order_of_keys_do_not_change_it() -> None:
    table = {
        "column": {"other": {"logical": True}, "id": {"mask": None, "rename": "x"}},
        "tombstones": True,
        "truncate": "skip",
        "columns": ["*"],
        "name": "public.orders",
    }
    spelled = _config(tables=[table], messages={"prefixes": []}, transactions={"topic": False})
    assert Capture.of(spelled).fingerprint == Capture.of(_config()).fingerprint


def test_a_new_key_with_its_default_does_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wider = create_model("WiderTable", __base__=Table, priority=(int, 7), policy=(str, "a"))
    given = {"name": "public.orders", "columns": ["*"]}
    table, new = Table.model_validate(given), wider.model_validate(given)
    assert fingerprint({"tables": (new,)}) == fingerprint({"tables": (table,)})
    used = wider.model_validate({**given, "priority": 8})
    assert fingerprint({"tables": (used,)}) != fingerprint({"tables": (table,)})
    monkeypatch.setitem(module.IRRELEVANT, wider, {"priority"})
    assert fingerprint({"tables": (used,)}) == fingerprint({"tables": (table,)})


def test_the_fingerprint_of_a_configuration_stays_the_same_in_every_version() -> None:
    config = _config(outboxes=[{"table": "public.outbox"}])
    assert Capture.of(config).fingerprint == "52bb0126815898a4"

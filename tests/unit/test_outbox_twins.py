"""The compiled routers of outbox events make the records of the plain ones, and refuse the same."""

import importlib
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_sidecar.config.outbox import Outbox
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events import twin
from cdc_sidecar.events.catalog import TopicFacts
from cdc_sidecar.events.outbox.columns import find_columns
from cdc_sidecar.events.outbox.messages import MessageRouter
from cdc_sidecar.events.outbox.router import EventRouter
from cdc_sidecar.events.outbox.rows import RowRouter
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.postgres.pgoutput import UNCHANGED
from tests.unit import shop, wire
from tests.unit.shop import JSONB, OUTBOX, TEXT, UUID, layout

if twin.NAME != "native":
    pytest.skip(
        "the compiled routers run only with the other compiled twins", allow_module_level=True
    )
native: Any = importlib.import_module("cdc_sidecar.events._outbox")

EXAMPLES = int(os.environ.get("TWIN_EXAMPLES", "100"))
_SCHEMA = json.dumps(
    {"type": "record", "name": "A", "fields": [{"name": "n", "type": "int", "default": 0}]}
)
_COLUMNS = {"id": UUID, "aggregatetype": TEXT, "aggregateid": TEXT, "type": TEXT, "payload": JSONB}
_TABLE = layout(
    "outbox",
    _COLUMNS | dict.fromkeys(("traceparent", "tenant", "part"), TEXT),
    key=("id",),
    oid=OUTBOX.oid,
)
_CONFIGS: list[dict[str, Any]] = [
    {},
    {"topic": "all.events", "key": "raw", "payload": "raw"},
    {"headers": {"tenant": "tenant", "place": "part"}},
    {"payload": "avro", "events": {"A": {"schema": _SCHEMA}, "A.v1": {"schema": _SCHEMA}}},
    {"topic": "x.{tenant}.{aggregatetype}"},
    {"columns": {"partition": "part"}},
    {"columns": {"timestamp": "part"}},
    {"envelope": {"tenant": "tenant"}},
    {"columns": {"aggregateid": "aggregatetype"}},
    {
        "payload": "avro",
        "columns": {"version": "part"},
        "events": {"A.v1": {"schema": _SCHEMA}},
    },
]
_TEXTS = st.sampled_from(["order", "customer", "A", "B", "1", "", "Größe", "x" * 9000])
_PAYLOADS = st.sampled_from(['{"n": 1}', "{}", '{"n": "x"}', '"a"', "null", "[1]", "17", "no", "é"])
_ODD = st.sampled_from(
    [
        *(b'"\\q"', b'"a\\\nb"', b'"\\\xff"', b'"\\u12"', b'"\\u00e9"', b'"\xff"'),
        *(b'{"n":NaN}', b"1" * 5000),
    ]
)
"""Payloads that are not JSON, or that few parsers take."""
_OPTIONAL = st.none() | _TEXTS


class _Catalog:
    """Answers alike for every topic."""

    def topic_facts(self, _name: str, *, parked: bool = False) -> TopicFacts:  # noqa: ARG002 - alike
        return TopicFacts(3, 9000)


def _router(config: Outbox, names: dict[str, str] | None) -> EventRouter:
    registry, catalog = SchemaLog().registry, _Catalog()
    if names is None:
        return EventRouter.of_messages(config, registry, catalog)  # type: ignore[arg-type]
    return EventRouter(config, names, registry, catalog, binary=False)  # type: ignore[arg-type]


def _outcome(router: Any, events: list[bytes]) -> list[object]:  # noqa: ANN401 - either twin
    """Return every record and every error, and the counts and sizes at the end."""
    found: list[object] = []
    for number in range(2):  # transactions: what is remembered of one may be wrong in the next
        transaction = twin.SourceTransaction(5000 + number, 700, 0, 0)
        for event in events:
            transaction.step(10)
            try:
                router.add(transaction, event)
            except SidecarError as error:
                found.append(str(error))
        found += [*transaction.records, transaction.counts, transaction.size]
    return found


_ROWS = st.lists(
    st.tuples(
        st.just("6f5d7c1e-0000-4000-8000-000000000001") | st.none(),
        _OPTIONAL,
        _OPTIONAL,
        st.just("A") | _OPTIONAL,
        st.none() | _PAYLOADS | st.just(UNCHANGED),
        _OPTIONAL,
        _OPTIONAL,
        st.just("1") | _OPTIONAL,
    ),
    max_size=6,
)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(settings_=st.sampled_from(_CONFIGS), rows=_ROWS, cut=st.booleans())
def test_rows_are_routed_alike(
    *, settings_: dict[str, Any], rows: list[tuple[Any, ...]], cut: bool
) -> None:
    config = shop.outbox(**settings_)
    places = find_columns(_TABLE.relation, config)
    names = {role: _TABLE.relation.columns[at].name for role, at in places.items()}
    width = len(_TABLE.relation.columns)
    frames = [wire.frame(10, wire.insert(OUTBOX.oid, row)) for row in rows]
    frames += [frames[0][:-1], frames[0] + b"t"] if cut and frames else []
    plain = RowRouter(_router(config, names), places, width, binary=False)
    compiled = native.RowRouter(_router(config, names), places, width, binary=False)
    assert _outcome(compiled, frames) == _outcome(plain, frames)


_MESSAGES = st.lists(
    st.dictionaries(
        st.sampled_from([*_COLUMNS, "traceparent", "tenant", "part", "more", "mö\\re"]),
        st.none() | _TEXTS | st.integers(-5, 5) | st.floats(0, 1) | st.booleans(),
        max_size=9,
    ),
    max_size=6,
)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    settings_=st.sampled_from(_CONFIGS),
    messages=_MESSAGES,
    payload=_PAYLOADS,
    odd=_ODD,
    twice=st.booleans(),
)
def test_messages_are_routed_alike(
    *,
    settings_: dict[str, Any],
    messages: list[dict[str, Any]],
    payload: str,
    odd: bytes,
    twice: bool,
) -> None:
    config = shop.outbox(table=None, prefix="events", **settings_)
    usual = {"id": "1", "aggregatetype": "order", "aggregateid": "42", "type": "A"}
    texts = [json.dumps(message) for message in messages]
    texts += [
        json.dumps(usual | message)[:-1] + f', "payload": {payload}}}' for message in messages
    ]
    texts += [json.dumps(usual, ensure_ascii=False)[:-1] + ', "id": 1} '] * twice + [payload]
    contents = [text.encode() for text in texts]
    open_ = json.dumps(usual).encode()[:-1]
    contents += [open_ + b', "payload": ' + odd + b"}"] * 2
    contents.append(open_ + b', "payload": {}, "more": ' + odd + b"}")
    plain = MessageRouter(_router(config, None), config.wanted, payload_as=None)
    compiled = native.MessageRouter(_router(config, None), config.wanted, payload_as=None)
    assert _outcome(compiled, contents) == _outcome(plain, contents)


def test_usual_events_are_made_without_the_plain_twin() -> None:
    config = shop.outbox(table=None, prefix="events", payload="avro", events=_CONFIGS[3]["events"])
    router = _router(config, None)
    compiled = native.MessageRouter(router, config.wanted, payload_as=None)
    usual = {"id": "1", "aggregatetype": "order", "aggregateid": "42", "type": "A", "payload": {}}
    content = json.dumps(usual).encode()
    transaction = twin.SourceTransaction(5000, 700, 0, 0)
    compiled.add(transaction, content)
    router.add = None  # type: ignore[method-assign,assignment]
    compiled.add(transaction, content)
    first, second = transaction.records
    assert first == second

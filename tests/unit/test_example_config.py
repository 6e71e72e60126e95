"""The example configuration is valid, shows every key, and shows the real defaults."""

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from cdc_sidecar.config.load import load_config
from cdc_sidecar.config.model import Config, Table
from cdc_sidecar.config.outbox import OutboxColumns

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
_OPTIONAL_KEY = re.compile(r'^#(?=[a-z_"][^ ]* = |\[)', re.MULTILINE)


@pytest.fixture
def complete(tmp_path: Path) -> Config:
    """Return the example with every optional key in force."""
    path = tmp_path / "complete.toml"
    (tmp_path / "order_placed.avsc").write_text("{}", encoding="utf-8")
    path.write_text(uncommented(), encoding="utf-8")
    return load_config(path, environment={})


@pytest.fixture(autouse=True)
def _secrets_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the mounted files of the example be readable."""
    monkeypatch.setattr("cdc_sidecar.config.secret._read_file", lambda _place: "secret")


def uncommented() -> str:
    return _OPTIONAL_KEY.sub("", EXAMPLE.read_text(encoding="utf-8"))


def test_the_example_is_valid_unchanged() -> None:
    config = load_config(EXAMPLE, environment={})
    assert config.service.name == "orders"
    assert config.transactional_id == "cdc.orders.orders_cdc"


def test_the_example_is_valid_with_every_optional_key(complete: Config) -> None:
    assert complete.topics.partitions
    assert complete.kafka.transactional_id == "cdc.orders.orders_cdc"


def test_the_example_shows_every_key() -> None:
    lines = uncommented().splitlines()
    shown = {line.split(" = ")[0] for line in lines if " = " in line and not line.startswith("#")}
    known = set(keys_of(Config))
    assert known - shown == set()
    assert {name for name in shown if not name.startswith('"')} - known == set()


def test_the_example_shows_the_real_defaults(complete: Config) -> None:
    plain = load_config(EXAMPLE, environment={})
    assert complete.http.listen == plain.http.listen
    assert complete.log == plain.log
    assert complete.messages == plain.messages
    assert complete.shutdown == plain.shutdown
    assert complete.publish.split_seconds == plain.publish.split_seconds
    assert complete.publish.model_copy(update={"split_after": None}) == plain.publish
    no_defaults: dict[str, object] = {
        "payload_as": None,
        "prune": None,
        "headers": {},
        "envelope": {},
    }
    columns = {"partition": None, "timestamp": None}
    assert complete.outboxes[0].columns.model_copy(update=columns) == OutboxColumns()
    no_defaults["columns"] = OutboxColumns()
    assert complete.outboxes[0].model_copy(update=no_defaults) == plain.outboxes[0]
    assert complete.postgres.create_slot == plain.postgres.create_slot
    assert complete.transactional_id == plain.transactional_id
    choices = ("unkeyed", "tombstones", "truncate", "on_error")
    defaults = {name: Table.model_fields[name].default for name in choices}
    assert complete.tables[0].model_dump(include=set(choices)) == defaults


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield every key that takes a value, in the model and the models below it."""
    for name, field in model.model_fields.items():
        below = [found for found in models_in(field.annotation) if found is not model]
        if below:
            for found in below:
                yield from keys_of(found)
        elif (model.__name__, name) != ("Kafka", "client"):
            yield field.alias or name


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - a type may be a class or any of typing's forms
    """Yield the models that a field's type contains."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (tuple, dict, types.UnionType, Annotated):
        for argument in get_args(annotation):
            yield from models_in(argument)

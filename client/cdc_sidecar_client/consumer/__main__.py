"""`python -m cdc_sidecar_client.consumer`: the SQL of the tables, and parked events."""

import argparse
import dataclasses
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg

from cdc_sidecar_client.consumer.consumer import Consumer
from cdc_sidecar_client.consumer.errors import (
    ConfigurationInvalid,
    ConsumerError,
    RegistryUnavailable,
)
from cdc_sidecar_client.consumer.parked import ParkedEvent
from cdc_sidecar_client.consumer.tables import schema_sql


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 1 if an event failed again, 2 for a mistake."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (ConsumerError, RegistryUnavailable, psycopg.Error) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cdc_sidecar_client.consumer")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    sql = commands.add_parser("schema-sql", help="print the SQL of the tables")
    sql.set_defaults(run=_schema_sql)
    group = commands.add_parser("parked", help="list, retry or discard parked events")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    for name, run, about in (
        ("list", _list, "print the parked events, oldest first, a line of JSON each"),
        ("retry", _retry, "handle parked events again: all, or those of the keys of IDs"),
        ("discard", _discard, "delete parked events without handling them"),
    ):
        action = actions.add_parser(name, help=about, description=about)
        action.add_argument("consumer", metavar="MODULE:NAME", help="where the Consumer is")
        if name != "list":
            action.add_argument("ids", nargs="+" if name == "discard" else "*", type=int)
        action.set_defaults(run=run)
    return parser


def _schema_sql(_options: argparse.Namespace) -> int:
    sys.stdout.write(schema_sql())
    return 0


def _list(options: argparse.Namespace) -> int:
    for event in _consumer(options.consumer).list_parked():
        sys.stdout.write(f"{_line(event)}\n")
    return 0


def _retry(options: argparse.Namespace) -> int:
    retried = _consumer(options.consumer).retry_parked(options.ids or None)
    sys.stdout.write(f"{retried.handled} handled\n")
    for identifier, error in retried.failed.items():
        sys.stderr.write(f"{identifier}: {error}\n")
    return 1 if retried.failed else 0


def _discard(options: argparse.Namespace) -> int:
    sys.stdout.write(f"{_consumer(options.consumer).discard_parked(options.ids)} discarded\n")
    return 0


def _line(event: ParkedEvent) -> str:
    key = None if event.key is None else event.key.decode(errors="backslashreplace")
    fields = {**dataclasses.asdict(event), "key": key, "parked_at": event.parked_at.isoformat()}
    return json.dumps(fields)


def _consumer(place: str) -> Consumer:
    """Import the consumer of `module:name`, from the working folder as `python -m` does."""
    module, _, name = place.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name or "consumer")
    except (ImportError, AttributeError) as error:
        hint = "name the module and its variable: billing.service:consumer"
        raise ConfigurationInvalid(f"{place}: {error}", hint=hint) from error
    if not isinstance(found, Consumer):
        raise ConfigurationInvalid(f"{place} is a {type(found).__name__}, not a Consumer")
    return found


if __name__ == "__main__":
    sys.exit(main())

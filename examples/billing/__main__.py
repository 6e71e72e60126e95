"""`python -m examples.billing` consumes until SIGTERM; with `migrate` it creates the tables."""

import logging
import sys
from pathlib import Path

import psycopg
from cdc_sidecar_client.consumer import ConsumerError, schema_sql

from examples.billing.service import DATABASE, consumer


def migrate() -> None:
    """Create the tables of the service, and those of its consumer."""
    own = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    with psycopg.connect(DATABASE) as connection:
        connection.execute((own + schema_sql()).encode())


def main() -> int:
    """Return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if sys.argv[1:] == ["migrate"]:
        migrate()
        return 0
    try:
        consumer.run()
    except ConsumerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

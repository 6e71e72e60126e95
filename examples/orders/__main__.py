"""Places two orders, cancels one, and prints the position for which readers can wait.

`python -m examples.orders "dbname=orders"` takes a connection string of libpq. The database has the
outbox that `cdc-sidecar setup-sql --outbox table` prints.
"""

import sys
from decimal import Decimal

import psycopg
from cdc_sidecar_client import position

from examples.orders.events import CancelReason, OrderLine
from examples.orders.service import TABLES, cancel_order, place_order


def main(dsn: str) -> None:
    """Do some business."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLES)
        tea, cup = OrderLine("tea", 2), OrderLine("cup", 1)
        kept = place_order(connection, "Zoë", Decimal("31.40"), [tea, cup])
        given_up = place_order(connection, "Yusuf", Decimal("12.50"), [tea])
        cancel_order(connection, given_up, CancelReason.OUT_OF_STOCK)
        end = position(connection)
    print(f"placed {kept} and {given_up}")  # noqa: T201 - the result
    print(f"cancelled {given_up}")  # noqa: T201 - as above
    print(f"everything is committed at {end}")  # noqa: T201 - as above


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The demo's writers: each is a thread that changes its own part of the shop.

A transaction has one row to some hundred: inserts, updates, deletes, changed keys, and sometimes a
rollback. The seed decides the sequence of transactions, the clock only their number.
"""

import random
import threading
import time
import uuid
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg.adapt import PyFormat
from psycopg.types.json import Jsonb

_ROLLBACK: Final = 0.06  # of all transactions: a short demo shows some
_MAX_DELAY: Final = 0.5  # seconds that are caught up; after a longer pause the rate would jump
_ORDERS_KEPT: Final = 300  # from here on, more orders are removed than placed
_BULK: Final = 100  # orders of an import: one large transaction among small ones
_PROFILE_BYTES: Final = 2500  # more than Postgres keeps in the row, so it is stored out of line
_SHOWN: Final = 40  # transactions that are kept for the screen: more than it has lines
_REPRICED: Final = 60  # orders: an update of many rows
_LEAVING: Final = 20  # customers that are considered for removal at once
_NEW_PROFILE: Final = 0.2  # of all moves: most leave the large column unchanged
_NEXT: Final = {"placed": "paid", "paid": "packed", "packed": "shipped", "shipped": "returned"}
_CHANNELS: Final = ("web", "app", "phone", "shop")
_ARTICLES: Final = ("teapot", "lamp", "rug", "kettle", "chair", "clock", "mug", "shelf", "vase")
_NAMES: Final = ("Ada", "Boole", "Curie", "Dijkstra", "Euler", "Franklin", "Gödel", "Hopper")

# psycopg finds this type by its name at its first use. If two writers do that at once, one of them
# is told that the type is unknown; so it is found here.
psycopg.adapters.get_dumper(uuid.UUID, PyFormat.AUTO)


@dataclass(frozen=True, slots=True)
class Write:
    """One transaction for the screen."""

    what: str
    rows: int
    committed: bool


class Journal:
    """The transactions of all writers: added by their threads, read by the screen."""

    def __init__(self) -> None:
        """Start without a transaction."""
        self._lock = threading.Lock()
        self.last: deque[Write] = deque(maxlen=_SHOWN)
        self.rows = self.transactions = self.rolled_back = self.rows_rolled_back = 0

    def add(self, write: Write) -> None:
        """Add a finished transaction."""
        with self._lock:
            self.last.append(write)
            if write.committed:
                self.rows += write.rows
                self.transactions += 1
            else:
                self.rolled_back += 1
                self.rows_rolled_back += write.rows


@dataclass(slots=True)
class _Stock:
    """The rows that belong to one writer."""

    customers: list[uuid.UUID] = field(default_factory=list)
    orders: dict[int, str] = field(default_factory=dict)  # status
    lines: dict[int, list[int]] = field(default_factory=dict)  # numbers, by order
    outbox: list[uuid.UUID] = field(default_factory=list)


class Writer(threading.Thread):
    """One writer. `error` is the reason if the thread ended before `stop`."""

    def __init__(
        self, dsn: str, seed: int, journal: Journal, rate: float, has_channel: threading.Event
    ) -> None:
        """Describe a writer of about `rate` rows a second.

        `has_channel` is set when the column `channel` has been added.
        """
        super().__init__(name=f"writer-{seed}", daemon=True)
        self._dsn = dsn
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._journal = journal
        self._rate = rate
        self._has_channel = has_channel
        self._stock = _Stock()
        self._rows = 0
        self._stopping = threading.Event()
        self.error: psycopg.Error | None = None

    def stop(self) -> None:
        """Ask the thread to end after its current transaction."""
        self._stopping.set()

    def run(self) -> None:
        """Write until `stop`."""
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                due = time.monotonic()
                while not self._stopping.wait(due - time.monotonic()):
                    self._transact(connection)
                    due = max(due, time.monotonic() - _MAX_DELAY) + self._rows / self._rate
        except psycopg.Error as error:
            self.error = error

    def _transact(self, connection: psycopg.Connection) -> None:
        self._rows = 0
        rolls_back = self._random.random() < _ROLLBACK
        before = deepcopy(self._stock) if rolls_back else self._stock
        with connection.transaction(force_rollback=rolls_back), connection.cursor() as cursor:
            what = self._change(cursor)
        self._stock = before
        self._journal.add(Write(what, self._rows, not rolls_back))

    def _change(self, cursor: psycopg.Cursor) -> str:
        if not self._stock.orders:
            return f"{self._sign_up(cursor)}, {self._import(cursor)}"
        crowded = len(self._stock.orders) > _ORDERS_KEPT
        changes = {
            self._order: 1 if crowded else 10,
            self._import: 0 if crowded else 0.4,
            self._advance: 10,
            self._sign_up: 3,
            self._move: 4,
            self._renumber: 4,
            self._cancel: 10 if crowded else 3,
            self._reprice: 0.6,
            self._clear: 2.5 if crowded else 0,
            self._prune: 0.6,
            self._forget: 0.6,
        }
        change = self._random.choices(list(changes), list(changes.values()))[0]
        return change(cursor)

    def _execute(self, cursor: psycopg.Cursor, statement: str, *values: object) -> None:
        cursor.execute(statement.encode(), values)
        self._rows += cursor.rowcount

    def _sign_up(self, cursor: psycopg.Cursor) -> str:
        customer = uuid.UUID(int=self._random.getrandbits(128), version=4)
        name = f"{self._random.choice(_NAMES)} {self._random.randrange(1000)}"
        email = f"{self._random.randrange(10**6)}@example.org"
        values = (customer, name, email, self._profile())
        self._execute(cursor, "INSERT INTO customers VALUES (%s, %s, %s, %s)", *values)
        self._announce(cursor, "customer", customer, "CustomerSignedUp", {"name": name})
        self._stock.customers.append(customer)
        return f"customer {name} signs up"

    def _profile(self) -> Jsonb:
        letters = "".join(self._random.choices('abcdefghijklmnop \\"ß€', k=_PROFILE_BYTES))
        return Jsonb({"about": letters, "visits": self._random.randrange(100)})

    def _order(self, cursor: psycopg.Cursor) -> str:
        order = self._place(cursor, 1)[0]
        count = self._random.randint(1, 6)
        self._add_lines(cursor, [order], count)
        self._announce(cursor, "order", order, "OrderPlaced", {"order": order, "lines": count})
        return f"order {order} placed, {count} lines"

    def _import(self, cursor: psycopg.Cursor) -> str:
        orders = self._place(cursor, _BULK)
        self._add_lines(cursor, orders, 2)
        return f"import: orders {orders[0]}-{orders[-1]}"

    def _place(self, cursor: psycopg.Cursor, count: int) -> list[int]:
        columns, values = "customer_id, status, total", "%s, 'placed', %s"
        given: list[object] = [self._random.choice(self._stock.customers), self._price()]
        if self._has_channel.is_set():
            columns, values = f"{columns}, channel", f"{values}, %s"
            given.append(self._random.choice(_CHANNELS))
        statement = f"INSERT INTO orders ({columns}) SELECT {values}"
        rows = f"{statement} FROM generate_series(1, %s) RETURNING id"
        self._execute(cursor, rows, *given, count)
        orders = [order for (order,) in cursor.fetchall()]
        self._stock.orders |= dict.fromkeys(orders, "placed")
        self._stock.lines |= {order: [] for order in orders}
        return orders

    def _add_lines(self, cursor: psycopg.Cursor, orders: list[int], count: int) -> None:
        numbers = range(1, count + 1)
        self._execute(
            cursor,
            "INSERT INTO order_lines SELECT o, n, %s, %s, %s"
            " FROM unnest(%s::bigint[]) o, generate_series(1, %s) n",
            *(self._random.choice(_ARTICLES), self._random.randint(1, 9), self._price()),
            *(orders, count),
        )
        self._stock.lines |= {order: list(numbers) for order in orders}

    def _advance(self, cursor: psycopg.Cursor) -> str:
        order = self._random.choice(list(self._stock.orders))
        status = _NEXT.get(self._stock.orders[order], "paid")
        self._execute(cursor, "UPDATE orders SET status = %s WHERE id = %s", status, order)
        self._stock.orders[order] = status
        if status == "shipped":
            self._announce(cursor, "order", order, "OrderShipped", {"order": order})
        return f"order {order} is {status}"

    def _move(self, cursor: psycopg.Cursor) -> str:
        """Change a customer's address and, sometimes, the profile."""
        customer = self._random.choice(self._stock.customers)
        email = f"{self._random.randrange(10**6)}@example.net"
        if self._random.random() < _NEW_PROFILE:
            statement = "UPDATE customers SET email = %s, profile = %s WHERE id = %s"
            self._execute(cursor, statement, email, self._profile(), customer)
        else:
            statement = "UPDATE customers SET email = %s WHERE id = %s"
            self._execute(cursor, statement, email, customer)
        return f"customer {str(customer)[:8]} is now {email}"

    def _renumber(self, cursor: psycopg.Cursor) -> str:
        """Change one column of a key."""
        order = self._random.choice(list(self._stock.orders))
        numbers = self._stock.lines[order]
        old, new = self._random.choice(numbers), max(numbers) + 1
        statement = "UPDATE order_lines SET line_no = %s WHERE order_id = %s AND line_no = %s"
        self._execute(cursor, statement, new, order, old)
        numbers[numbers.index(old)] = new
        return f"line {order}/{old} becomes {order}/{new}"

    def _reprice(self, cursor: psycopg.Cursor) -> str:
        orders = sorted(self._stock.orders)[:_REPRICED]
        statement = "UPDATE order_lines SET price = price + %s WHERE order_id = ANY (%s)"
        self._execute(cursor, statement, "0.10", orders)
        return "lines repriced"

    def _cancel(self, cursor: psycopg.Cursor) -> str:
        order = self._random.choice(list(self._stock.orders))
        self._remove(cursor, [order])
        self._announce(cursor, "order", order, "OrderCancelled", {"order": order})
        return f"order {order} cancelled"

    def _clear(self, cursor: psycopg.Cursor) -> str:
        orders = sorted(self._stock.orders)[: _BULK // 2]
        self._remove(cursor, orders)
        return f"old orders {orders[0]}-{orders[-1]} removed"

    def _remove(self, cursor: psycopg.Cursor, orders: list[int]) -> None:
        self._execute(cursor, "DELETE FROM order_lines WHERE order_id = ANY (%s)", orders)
        self._execute(cursor, "DELETE FROM orders WHERE id = ANY (%s)", orders)
        for order in orders:
            del self._stock.orders[order], self._stock.lines[order]

    def _forget(self, cursor: psycopg.Cursor) -> str:
        """Delete old customers without orders."""
        statement = (
            "DELETE FROM customers c WHERE id = ANY (%s)"
            " AND NOT EXISTS (SELECT FROM orders WHERE customer_id = c.id) RETURNING id"
        )
        self._execute(cursor, statement, self._stock.customers[:_LEAVING])
        gone = {customer for (customer,) in cursor.fetchall()}
        self._stock.customers = [kept for kept in self._stock.customers if kept not in gone]
        return f"customers leave: {len(gone)}"

    def _prune(self, cursor: psycopg.Cursor) -> str:
        """Delete old rows of the outbox. This makes no events."""
        statement = "DELETE FROM outbox WHERE id = ANY (%s)"
        self._execute(cursor, statement, self._stock.outbox)
        self._stock.outbox.clear()
        return "outbox pruned"

    def _announce(
        self, cursor: psycopg.Cursor, kind: str, subject: object, event: str, facts: object
    ) -> None:
        identifier = uuid.UUID(int=self._random.getrandbits(128), version=4)
        values = (identifier, kind, str(subject), event, Jsonb(facts))
        self._execute(cursor, "INSERT INTO outbox VALUES (%s, %s, %s, %s, %s)", *values)
        self._stock.outbox.append(identifier)

    def _price(self) -> str:
        return f"{self._random.randrange(100, 100_000) / 100:.2f}"


def write_marker(dsn: str) -> None:
    """Write the very last row into the outbox. Its event has its own topic."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        statement = "INSERT INTO outbox VALUES (%s, 'shop', 'shop', 'ShopClosed', '{}')"
        connection.execute(statement, [uuid.uuid4()])

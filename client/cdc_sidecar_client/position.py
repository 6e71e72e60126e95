"""The position of a commit in the WAL: what a reader waits for to see the commit's changes."""

import re
from dataclasses import dataclass
from typing import Final

from cdc_sidecar_client.drivers import find_async_driver, find_driver

_LSN: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A place in the WAL of one server. Its text, such as `0/16B3748`, is what services pass on."""

    lsn: int

    def __str__(self) -> str:
        return f"{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that a text stands for.

        Raises:
            ValueError: the text is not that of a position.

        """
        match = _LSN.fullmatch(text)
        if match is None:
            raise ValueError(f"not a position, such as 0/16B3748: {text!r}")
        return cls(int(match[1], 16) << 32 | int(match[2], 16))


def position(connection: object) -> Position:
    """Return a position above the LSN of every commit that this server has acknowledged so far.

    Call it after the commit, on the connection that made it or on another one of the same server.
    It leaves no transaction open. It takes the connections that `Outbox.emit` takes.

    Raises:
        ConnectionUnknown: this is not a connection, or one for `position_async`.
        TransactionOpen: the connection is in a transaction, which is not part of the position.

    """
    return Position.parse(find_driver(connection).read_position())


async def position_async(connection: object) -> Position:
    """Return a position as `position` does, from an async connection."""
    return Position.parse(await find_async_driver(connection).read_position())

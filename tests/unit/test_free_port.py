"""A port that was given is nobody else's, even while nothing listens on it."""

import random
import subprocess
import sys
from itertools import chain, count, repeat

import pytest

from cdc_sidecar.servers.host import free_port

_ASK = """
import random, sys
from cdc_sidecar.servers.host import free_port
ports = map(int, sys.argv[1:])
random.randrange = lambda low, high: next(ports)
print(free_port())
"""


def test_a_port_is_given_once_to_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    drawn = chain(repeat(first, 3), count(first + 1))
    monkeypatch.setattr(random, "randrange", lambda _low, _high: next(drawn))
    assert free_port() > first
    told = subprocess.run(
        [sys.executable, "-c", _ASK, *(str(first + more) for more in (0, 0, *range(2, 50)))],
        check=True,
        capture_output=True,
        text=True,
    )
    assert first < int(told.stdout) < first + 50


def test_a_port_is_free_again_when_its_process_has_ended() -> None:
    lent = free_port()
    ports = [str(port) for port in range(lent + 1, lent + 50)]
    ask = [sys.executable, "-c", _ASK, *ports]
    first, second = (subprocess.run(ask, check=True, capture_output=True) for _ in range(2))
    assert first.stdout == second.stdout

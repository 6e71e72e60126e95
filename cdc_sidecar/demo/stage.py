"""Everything that takes part in the demo, started in its order and ended whatever happens."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg

from cdc_sidecar.config.load import load_config
from cdc_sidecar.demo.arrivals import Arrivals
from cdc_sidecar.demo.auditor import Auditor
from cdc_sidecar.demo.shop import ADDED_COLUMN, SERVICE, create_shop, write_config
from cdc_sidecar.demo.sidecar import Health, Sidecar
from cdc_sidecar.demo.verdict import Ledger
from cdc_sidecar.demo.writer import Journal, Writer
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.kafka_download import kafka_class_path
from cdc_sidecar.servers.postgres import PostgresServer

_WRITERS: Final = 2
_ROWS_A_SECOND: Final = 360.0  # of all writers
_START_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 15.0  # for a thread to end


class Stage:
    """The servers, the sidecar, the writers, the consumer and the auditor.

    Once it is made, the sidecar streams and nothing has been written yet. What was started ends
    with `stack`.
    """

    def __init__(self, folder: Path, stack: ExitStack, report: Callable[[str], None]) -> None:
        """Start everything but the writers; raises ServerFailed for what does not start."""
        self.folder = folder
        self.seed = random.randrange(1_000_000)  # noqa: S311 - no secret
        self.ledger, self.journal = Ledger(), Journal()
        self.writers: list[Writer] = []
        self._has_channel = threading.Event()
        report(f"seed {self.seed}; data and logs in {folder}")
        kafka_class_path()  # fetches it now, with a bar of its own, if it is not there
        report("starting Postgres and Kafka")
        self._start_servers(stack)
        self.dsn = self.postgres.dsn(SERVICE)
        create_shop(self.postgres.dsn(), self.dsn)
        report("starting the sidecar")
        self._start_audience(stack)
        report("the sidecar streams: the shop opens")

    def _start_servers(self, stack: ExitStack) -> None:
        """Start both at once."""
        self.postgres = PostgresServer(self.folder / "postgres", fsync=False)
        self.kafka = KafkaBroker(self.folder / "kafka")
        stack.callback(self.kafka.kill)
        stack.callback(self.postgres.stop, "immediate")
        with ThreadPoolExecutor(2) as pool:
            postgres, kafka = pool.submit(self.postgres.start), pool.submit(self.kafka.start)
        postgres.result()
        kafka.result()

    def _start_audience(self, stack: ExitStack) -> None:
        """Start the auditor, the sidecar and, once its topics exist, the consumer."""
        lock = threading.Lock()
        self.auditor = Auditor(self.dsn, self.ledger, lock)
        self.auditor.start()
        stack.callback(self.auditor.finish)
        config, port = self.folder / "sidecar.toml", free_port()
        servers = self.kafka.bootstrap_servers
        write_config(config, dsn=self.dsn, bootstrap_servers=servers, port=port)
        self.sidecar = Sidecar(config, self.folder / "sidecar.log", port)
        stack.callback(self.sidecar.end)
        self.sidecar.start()
        self.sidecar.await_streaming(_START_SECONDS)
        self.arrivals = Arrivals(load_config(config), self.ledger, lock)
        self.arrivals.start()
        stack.callback(self.arrivals.finish)

    def open_shop(self) -> None:
        """Start the writers."""
        rate = _ROWS_A_SECOND / _WRITERS
        for seed in range(self.seed, self.seed + _WRITERS):
            writer = Writer(self.dsn, seed, self.journal, rate, self._has_channel)
            self.writers.append(writer)
            writer.start()

    def close_shop(self) -> None:
        """Stop the writers; returns when their last transactions are over."""
        for writer in self.writers:
            writer.stop()
        for writer in self.writers:
            writer.join(_WAIT_SECONDS)

    def add_column(self) -> None:
        """Add a column to a table that is being written; the writers use it from now on."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(ADDED_COLUMN)
        self._has_channel.set()

    def troubles(self) -> list[str]:
        """Return what has gone wrong: every entry makes the verdict a bad one."""
        found = [f"{writer.name}: {writer.error}" for writer in self.writers if writer.error]
        for thread in (self.arrivals, self.auditor):
            found += [f"{thread.name}: {thread.error}"] if thread.error else []
        if self.sidecar.health is Health.ENDED:
            words = self.sidecar.last_words()
            found.append(f"the sidecar ended, and not by us; the end of its log:\n{words}")
        return found

"""Everything that the demo runs: started in order, and ended even if the demo fails."""

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
from cdc_sidecar.demo.verdict import Tally
from cdc_sidecar.demo.writer import Journal, Writer
from cdc_sidecar.servers.host import free_port
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.kafka_download import kafka_class_path
from cdc_sidecar.servers.postgres import PostgresServer

_WRITERS: Final = 2  # so that transactions overlap
_ROWS_A_SECOND: Final = 360.0  # of all writers: lively, yet readable and easy for two cores
_START_SECONDS: Final = 60.0  # for the sidecar to stream: it takes seconds on a quiet machine
_WAIT_SECONDS: Final = 15.0  # for a writer to end: its last transaction takes milliseconds
_SEEDS: Final = 1_000_000  # six digits are easy to copy


class Setup:
    """The servers, the sidecar, the writers, the consumer and the auditor.

    After the constructor, the sidecar streams and nothing has been written yet. `stack` ends
    everything.
    """

    def __init__(self, folder: Path, stack: ExitStack, report: Callable[[str], None]) -> None:
        """Start everything but the writers.

        Raises:
            ServerFailed: a server or the sidecar does not start.

        """
        self.folder = folder
        self.seed = random.randrange(_SEEDS)  # noqa: S311 - no secret
        self.tally, self.journal = Tally(), Journal()
        self.writers: list[Writer] = []
        self._has_channel = threading.Event()
        report(f"seed {self.seed}; data and logs in {folder}")
        kafka_class_path()  # fetches Kafka here, if it is missing, and shows the progress
        report("starting Postgres and Kafka")
        self._start_servers(stack)
        self.dsn = self.postgres.dsn(SERVICE)
        create_shop(self.postgres.dsn(), self.dsn)
        report("starting the sidecar")
        self._start_sidecar(stack)
        report("the sidecar streams: the shop opens")

    def _start_servers(self, stack: ExitStack) -> None:
        """Start both servers at the same time."""
        self.postgres = PostgresServer(self.folder / "postgres", fsync=False)
        self.kafka = KafkaBroker(self.folder / "kafka")
        stack.callback(self.kafka.kill)
        stack.callback(self.postgres.stop, "immediate")
        with ThreadPoolExecutor(2) as pool:
            postgres, kafka = pool.submit(self.postgres.start), pool.submit(self.kafka.start)
        postgres.result()
        kafka.result()

    def _start_sidecar(self, stack: ExitStack) -> None:
        """Start the auditor, the sidecar and, when its topics exist, the consumer."""
        lock = threading.Lock()
        self.auditor = Auditor(self.dsn, self.tally, lock)
        self.auditor.start()
        stack.callback(self.auditor.finish)
        config, port = self.folder / "sidecar.toml", free_port()
        servers = self.kafka.bootstrap_servers
        write_config(config, dsn=self.dsn, bootstrap_servers=servers, port=port)
        self.sidecar = Sidecar(config, self.folder / "sidecar.log", port)
        stack.callback(self.sidecar.end)
        self.sidecar.start()
        self.sidecar.await_streaming(_START_SECONDS)
        self.arrivals = Arrivals(load_config(config), self.tally, lock)
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
        """Stop the writers; return when their last transactions have ended."""
        for writer in self.writers:
            writer.stop()
        for writer in self.writers:
            writer.join(_WAIT_SECONDS)

    def add_column(self) -> None:
        """Add a column to a table that is being written. The writers use it from then on."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(ADDED_COLUMN)
        self._has_channel.set()

    def troubles(self) -> list[str]:
        """Return the errors so far. A single one makes the verdict bad."""
        found = [f"{writer.name}: {writer.error}" for writer in self.writers if writer.error]
        for thread in (self.arrivals, self.auditor):
            found += [f"{thread.name}: {thread.error}"] if thread.error else []
        if self.sidecar.health is Health.ENDED:
            log_end = self.sidecar.log_end()
            found.append(f"the sidecar ended unexpectedly; the end of its log:\n{log_end}")
        return found

"""`make bench`: runs all workloads and contenders, prints tables and writes `results.json`."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.busy import measure_busy
from benchmarks.contenders import Contender, PgRecvlogical, PsqlCopy, Sidecar
from benchmarks.debezium import Connect, Debezium, Registry
from benchmarks.downloads import connect_class_path
from benchmarks.drains import Entry, drain_in_turn
from benchmarks.idle import measure_idle
from benchmarks.latency import measure_bare, measure_steady
from benchmarks.picture import draw
from benchmarks.report import OURS, Results, Row, summarise
from benchmarks.source import Servers, say, servers, source
from benchmarks.tables import tables
from benchmarks.targets import target_table
from benchmarks.workloads import WORKLOADS, OutboxMessages, Workload
from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.events.twin import VARIABLE

HOME: Final = Path(__file__).parent
_PYTHON: Final = "sidecar_python"
_QUICK_ROWS: Final = {"small": 400_000, "one_row": 150_000}  # half of a full run


@dataclass(frozen=True, slots=True)
class Schedule:
    """The workloads, the number of rounds of each contender, and the durations."""

    quick: bool
    workloads: tuple[Workload, ...]
    rounds: dict[str, int]
    rates: tuple[int, ...]
    seconds: float  # of steady traffic
    idle: float  # seconds


def main() -> int:
    """Run everything; return 1 if the sidecar published anything but what was written, else 0."""
    schedule = _schedule(_arguments())
    results = Results(time.strftime("%Y-%m-%d %H:%M %Z"), schedule.quick, command=_command())
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    begun = time.monotonic()
    with servers(folder) as running, ExitStack() as stack:
        contenders = list(_contenders(running, stack, results))
        _idle(schedule, running, contenders, results)
        _steady(schedule, running, contenders, results)  # first: it is slower after the drains
        if any(workload.snapshot for workload in schedule.workloads):
            results.busy.append(measure_busy(running, contenders[0]))
        for workload in schedule.workloads:
            results.rows += _drain(schedule, running, workload, contenders, results)
    shutil.rmtree(folder)
    _write(results)
    say(f"took {time.monotonic() - begun:.0f} s")
    return 0 if results.is_exact else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only small, one_row and latency")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the number of rows")
    parser.add_argument("--workloads", help="only these, separated by commas; - for none")
    parser.add_argument(
        "--rates", help="commits a second of steady traffic, separated by commas; - for none"
    )
    parser.add_argument("--seconds", type=float, help="duration of steady traffic at each rate")
    return parser.parse_args()


def _command() -> str:
    return " ".join(["python -m benchmarks", *sys.argv[1:]])


def _schedule(arguments: argparse.Namespace) -> Schedule:
    quick = arguments.quick
    names = arguments.workloads or ("small,one_row" if quick else None)
    chosen = [one for one in WORKLOADS if names is None or one.name in names.split(",")]
    rates = arguments.rates or ("1000" if quick else "100,1000,10000")
    return Schedule(
        quick,
        tuple(replace(one, rows=_rows(one, quick, arguments.scale)) for one in chosen),
        {OURS: 4, "pg_recvlogical": 3, "psql_copy": 3, "debezium": 2}
        if quick
        else {OURS: 4, "pg_recvlogical": 4, "psql_copy": 4, "debezium": 2, _PYTHON: 2},
        tuple(int(rate) for rate in rates.split(",") if rate.isdecimal()),
        arguments.seconds or (20.0 if quick else 40.0),
        3.0 if quick else 20.0,
    )


def _rows(workload: Workload, quick: bool, scale: float) -> int:  # noqa: FBT001 - two sizes
    rows = _QUICK_ROWS.get(workload.name, workload.rows) if quick else workload.rows
    return max(2, int(rows * scale))


def _contenders(running: Servers, stack: ExitStack, results: Results) -> Iterator[Contender]:
    yield Sidecar()
    yield PgRecvlogical()
    yield PsqlCopy()
    try:
        say("starting Debezium on Kafka Connect")
        registry = stack.enter_context(Registry())
        connect = Connect(running.kafka, registry.url, connect_class_path())
        yield Debezium(stack.enter_context(connect), registry)
    except ServerFailed as error:
        _leave_out(results, "debezium", error)
    yield Sidecar(_PYTHON, {VARIABLE: "python"})


def _leave_out(results: Results, name: str, error: Exception) -> None:
    say(f"{name} is left out: {error}")
    results.left_out[name] = " ".join(map(str.strip, str(error).splitlines()[:2]))


def _idle(
    schedule: Schedule, running: Servers, contenders: Sequence[Contender], results: Results
) -> None:
    for contender in contenders:
        if contender.name in schedule.rounds and contender.publishes:
            results.idles.append(measure_idle(running, contender, schedule.idle))


def _drain(
    schedule: Schedule,
    running: Servers,
    workload: Workload,
    contenders: Sequence[Contender],
    results: Results,
) -> list[Row]:
    say(f"{workload.name}: writing {workload.rows:,} rows ({workload.about})")
    entries = [
        _entry(schedule, workload, one)
        for one in contenders
        if one.name in schedule.rounds and _takes_part(one, workload)
    ]

    def fail(contender: Contender, error: Exception) -> None:
        if contender.name.startswith(OURS):
            raise error
        _leave_out(results, f"{workload.name}/{contender.name}", error)

    with source(running, workload) as from_:
        return list(summarise(workload, list(drain_in_turn(from_, entries, fail))))


def _takes_part(contender: Contender, workload: Workload) -> bool:
    if contender.name == "psql_copy":
        return workload.snapshot and len(workload.tables) == 1
    if contender.name == "pg_recvlogical":
        return not workload.snapshot
    if isinstance(workload, OutboxMessages) and contender.name == "debezium":
        return False  # its router reads tables
    return workload.published or contender.name != "debezium"


def _entry(schedule: Schedule, workload: Workload, contender: Contender) -> Entry:
    """Return the number of runs. Debezium has warm-up runs; in a quick run, only one."""
    first = workload is schedule.workloads[0] or not schedule.quick
    warm = contender.name == "debezium" and first and not workload.long
    rounds = schedule.rounds[contender.name]
    return Entry(contender, (rounds + 1) // 2 if workload.long else rounds, warm=int(warm))


def _steady(
    schedule: Schedule, running: Servers, contenders: Sequence[Contender], results: Results
) -> None:
    chosen = [one for one in contenders if one.publishes and one.name != _PYTHON]
    for rate in schedule.rates:
        for contender in chosen:
            latency = measure_steady(running, contender, rate, schedule.seconds)
            results.latencies.append(latency)
            if contender.name == OURS:
                cadence = max(1.0, latency.transactions)
                results.latencies.append(measure_bare(running, rate, schedule.seconds, cadence))


def _write(results: Results) -> None:
    (HOME / "results.json").write_text(results.as_json(), encoding="utf-8")
    text = "\n".join(part for part in (target_table(results), tables(results)) if part)
    print(text)
    if not results.quick:
        (HOME / "results.svg").write_text(draw(results.rows), encoding="utf-8")
        page = f"# Results\n\n![Events per second](results.svg)\n\n{text}"
        (HOME / "RESULTS.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""The figures of the benchmark: progress, percentiles, medians, ratios, verdicts and tables."""

import json
from array import array
from dataclasses import replace

import pytest

from benchmarks.debezium import root_cause
from benchmarks.drains import Drain, Entry, turns
from benchmarks.latency import Latency, percentiles
from benchmarks.meters import (
    SENT,
    Drained,
    Sample,
    count_records,
    count_sent,
    drained,
)
from benchmarks.picture import draw
from benchmarks.report import Results, Row, halves, summarise
from benchmarks.source import Backlog
from benchmarks.tables import markdown, tables
from benchmarks.targets import outcomes, target_table
from benchmarks.truth import Truth, beginning
from benchmarks.workloads import WORKLOADS, Workload
from cdc_sidecar.postgres.lsn import Lsn

TOPIC = ("bench.public.small", 0)
ROW = Row(
    workload="small",
    about="5 columns",
    contender="sidecar",
    guarantee="exactly once",
    format="Avro",
    events=900,
    rates=(100.0, 300.0, 200.0),
    cpu={"sidecar": 3.0, "walsender": 1.0, "broker": 2.0},
    peak=70.4,
    start=1.5,
    truth="exact",
)
LATENCY = Latency(
    "sidecar", "exactly once", "Avro", 1000, 100, 100, 10.0, 50.0, {"p50": 6.0, "p99": 20.0}
)


class Contender:
    """A contender, reduced to the members that a report reads."""

    guarantee = "exactly once"
    format = "Avro"
    publishes = True
    pid = 1
    registry = ""
    log_end = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self, run: object) -> None:
        """Start."""

    def is_alive(self) -> bool:
        """Return true."""
        return True

    def stop(self) -> None:
        """Stop."""


def test_transaction_markers_are_not_counted_as_records() -> None:
    count = count_records({TOPIC: array("q", [0, 1, 3, 4, 6])})
    assert [count({TOPIC: end}) for end in (0, 2, 3, 4, 5, 8)] == [0, 2, 2, 3, 4, 5]
    assert count({("another", 0): 9}) == 0


def test_what_the_server_has_sent_is_counted_at_commits() -> None:
    backlog = Backlog(30, Lsn(300), ((Lsn(100), 10), (Lsn(200), 20), (Lsn(300), 30)))
    count = count_sent(backlog)
    assert [count({SENT: lsn}) for lsn in (99, 100, 250, 300, 900)] == [0, 10, 20, 30, 30]
    assert count({}) == 0


def test_the_start_and_the_time_after_the_last_event_do_not_count() -> None:
    ends = (0, 100, 400, 1100, 1101)
    samples = [
        Sample(float(at), {TOPIC: end}, {"sidecar": at / 10, "broker": at / 100})
        for at, end in enumerate(ends)
    ]
    count = count_records({TOPIC: array("q", range(1100))})
    measured = drained(samples, count, peak=50.0)
    assert (measured.events, measured.seconds, measured.rate) == (1000, 2.0, 500)
    assert measured.cpu == {"sidecar": pytest.approx(200), "broker": pytest.approx(20)}


def test_cpu_time_counts_as_long_as_the_process_lived() -> None:
    backlog = Backlog(30, Lsn(300), ((Lsn(100), 10), (Lsn(200), 20), (Lsn(300), 30)))
    samples = [
        Sample(1.0, {SENT: 100}, {"pg_recvlogical": 1.0}),
        Sample(2.0, {SENT: 200}, {"pg_recvlogical": 1.5}),
        Sample(3.0, {SENT: 300}, {}),
    ]
    measured = drained(samples, count_sent(backlog), peak=2.0)
    assert (measured.events, measured.seconds) == (20, 2.0)
    assert measured.cpu == {"pg_recvlogical": pytest.approx(50_000)}


def test_nothing_that_moved_is_no_rate() -> None:
    assert drained([], lambda _ends: 0, peak=1.0).rate == 0
    assert drained([Sample(1.0, {TOPIC: 5}, {})], lambda _ends: 5, peak=1.0).rate == 0


def test_contenders_alternate_after_their_warm_up() -> None:
    ours, theirs = Contender("sidecar"), Contender("debezium")
    order = [
        (entry.contender.name, number)
        for number, entry in turns([Entry(ours, 3), Entry(theirs, 2, warm=1)])
    ]
    assert order == [
        ("debezium", 0),
        ("sidecar", 0),
        ("debezium", 1),
        ("sidecar", 1),
        ("debezium", 2),
        ("sidecar", 2),
    ]


def test_percentiles_are_values_that_occurred() -> None:
    assert percentiles([float(n) for n in range(1000)]) == {
        "p50": 500,
        "p90": 900,
        "p99": 990,
        "p99.9": 999,
    }
    assert percentiles([7.0]) == dict.fromkeys(("p50", "p90", "p99", "p99.9"), 7.0)
    assert percentiles([]) == {}


def test_the_control_compares_every_other_run_with_the_rest() -> None:
    assert halves([10.0, 20.0, 30.0, 40.0]) == pytest.approx(20 / 30)
    assert halves([10.0]) is None


def test_runs_become_medians_and_spreads() -> None:
    ours, theirs = Contender("sidecar"), Contender("pg_recvlogical")
    truth = Truth(900, 900, 0, 0, {})
    drains = [
        Drain(ours, Drained(900, 9.0, {"sidecar": 2.0}, 70.0), truth, 1.0),
        Drain(theirs, Drained(900, 3.0, {}, 3.0), None, 0.1),
        Drain(ours, Drained(900, 4.5, {"sidecar": 4.0}, 72.0), truth, 2.0),
    ]
    mine, other = summarise(WORKLOADS[0], drains)
    assert mine.rate == 150
    assert mine.spread == pytest.approx(2 / 3)
    assert (mine.cpu, mine.peak, mine.start, mine.truth) == ({"sidecar": 3.0}, 72.0, 1.5, "exact")
    assert (other.rate, other.cpu, other.truth) == (300, {}, "-")


@pytest.mark.parametrize(
    "truth", [Truth(9, 8, 0, 1, {}), Truth(9, 10, 1, 0, {}), Truth(9, 9, 0, 1, {})]
)
def test_what_is_lost_repeated_or_different_is_said_and_fails(truth: Truth) -> None:
    drain = Drain(Contender("sidecar"), Drained(9, 1.0, {}, 70.0), truth, 1.0)
    (row,) = summarise(WORKLOADS[0], [drain])
    assert row.truth == str(truth) != "exact"
    assert not Results("now", quick=True, rows=[row]).is_exact
    assert Results("now", quick=True, rows=[replace(row, truth="exact")]).is_exact


def test_a_lost_row_of_steady_traffic_fails() -> None:
    assert Results("now", quick=True, latencies=[LATENCY]).is_exact
    assert not Results("now", quick=True, latencies=[replace(LATENCY, came=99)]).is_exact


def test_ratios_are_our_median_over_theirs() -> None:
    results = Results("now", quick=True)
    results.rows = [
        ROW,
        replace(ROW, contender="pg_recvlogical", rates=(160.0,)),
        replace(ROW, contender="debezium", rates=(40.0,)),
        replace(ROW, workload="one_row", contender="debezium"),
    ]
    results.latencies = [LATENCY, replace(LATENCY, contender="bare_loop", percentiles={"p50": 4.0})]
    assert results.ratios() == {
        "small/pg_recvlogical": 1.25,
        "small/debezium": 5.0,
        "small/itself": 0.5,
        "steady_1000_p50/bare_loop": 1.5,
    }


def test_many_tables_are_set_against_one() -> None:
    results = Results("now", quick=False)
    results.rows = [
        replace(ROW, workload="tables_1", rates=(100.0,)),
        replace(ROW, workload="tables_1000", rates=(95.0,)),
    ]
    assert results.ratios() == {"tables_1000/tables_1": 0.95}


def test_the_json_has_machine_versions_date_runs_and_ratios() -> None:
    results = Results("now", quick=True, rows=[ROW], latencies=[LATENCY])
    written = json.loads(results.as_json())
    assert set(written) >= {"machine", "versions", "date", "runs", "ratios"}
    drain, steady = written["runs"]
    assert (drain["workload"], drain["contender"]) == ("small", "sidecar")
    assert (drain["events_per_second"], drain["peak_rss_megabytes"]) == (200, 70)
    assert (steady["workload"], steady["percentiles"]["p99"]) == ("steady_1000", 20.0)


def test_every_row_of_the_tables_names_guarantee_and_format() -> None:
    results = Results("now", quick=True, rows=[ROW], latencies=[LATENCY])
    results.left_out = {"debezium": "no network"}
    text = tables(results)
    rows = [line for line in text.splitlines() if line.startswith(("| small", "| 1,000"))]
    assert len(rows) == 2
    assert all("exactly once" in row and "Avro" in row for row in rows)
    assert "debezium is left out: no network" in text


def test_a_failed_task_tells_what_came_first() -> None:
    trace = "Exception: it failed\n\tat a(B.java)\nCaused by: Timeout: 60 s\n\tat c(D.java)\n"
    assert root_cause(trace) == "Timeout: 60 s"
    assert root_cause("Timeout: 60 s\n\tat d.e(F.java)") == "Timeout: 60 s"


def test_tables_are_aligned() -> None:
    assert markdown(("a", "bb"), [("ccc", "d")]) == ("| a   | bb |\n|-----|----|\n| ccc | d  |\n")


def test_the_picture_has_a_bar_for_each_row() -> None:
    picture = draw([ROW, replace(ROW, contender="debezium", rates=(40.0,))])
    assert picture.count('height="13"') == 2
    assert ">200<" in picture
    assert ">40<" in picture


def test_of_an_envelope_only_the_rows_are_decoded() -> None:
    fields = [{"name": name, "type": "string"} for name in ("before", "after", "source", "op")]
    envelope = {"type": "record", "name": "Envelope", "fields": fields}
    assert [field["name"] for field in beginning(envelope)["fields"]] == ["before", "after"]
    assert beginning("string") == "string"
    key = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
    assert beginning(key) == key


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_workload_writes_as_many_rows_as_it_is_told(workload: Workload) -> None:
    small = replace(workload, rows=2000)
    assert sum(events for _, events in small.write()) == 2000
    assert list(small.prepare())


def test_what_comes_before_the_topics_are_warm_does_not_count() -> None:
    samples = [Sample(float(at), {TOPIC: 10 * at}, {"a": at / 10}) for at in range(1, 8)]
    measured = drained(samples, lambda ends: ends[TOPIC], peak=1.0, warm=30)
    assert (measured.events, measured.seconds) == (30, 3.0)
    assert measured.cpu["a"] == pytest.approx(0.01 * 1e6)


def test_each_target_of_what_was_run_is_measured_and_none_of_what_was_not() -> None:
    debezium = replace(ROW, contender="debezium", rates=(30.0,), cpu={"debezium": 40.0})
    plain = replace(ROW, contender="sidecar_python", rates=(50.0,))
    rows = [ROW, replace(debezium), plain]
    found = {one.target: one for one in outcomes(Results("today", quick=False, rows=rows))}
    assert found["small/debezium, events/s"].measured == pytest.approx(200 / 30)
    assert found["small/debezium, events/s"].is_met
    assert not found["small, plain Python/debezium"].is_met
    assert found["small, CPU µs/event"].measured == 3.0
    assert found["small, CPU/debezium"].measured == pytest.approx(0.075)
    assert found["peak RSS of all drains, MB"].measured == 70.4
    assert len(found) == 5
    steady = {one.target for one in outcomes(Results("today", quick=True, latencies=[LATENCY]))}
    assert steady == {"p50 at 1,000 commits/s, ms", "p99 at 1,000 commits/s, ms"}


def _verdicts(table: str) -> dict[str, str]:
    rows = [line.strip("| ").split("|") for line in table.splitlines()[2:]]
    return {row[0].strip(): row[3].strip() for row in rows}


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ((100.0, 114.0), "**no**"),
        ((114.0, 100.0), "**no**"),
        ((100.0, 116.0), "too noisy to judge"),
        ((116.0, 100.0), "too noisy to judge"),
        ((100.0,), "**no**"),
    ],
    ids=["quiet", "quiet, reversed", "noisy", "noisy, reversed", "no control"],
)
def test_a_missed_target_of_a_noisy_workload_is_not_judged(
    rates: tuple[float, ...], verdict: str
) -> None:
    rows = [replace(ROW, rates=rates), replace(ROW, contender="pg_recvlogical", rates=(100.0,))]
    table = target_table(Results("today", quick=True, rows=rows))
    assert _verdicts(table)["small/pg_recvlogical, events/s"] == verdict


def test_a_target_that_is_met_is_met_in_a_noisy_run() -> None:
    rows = [
        replace(ROW, rates=(500.0, 900.0)),
        replace(ROW, contender="pg_recvlogical", rates=(100.0,)),
    ]
    table = target_table(Results("today", quick=True, rows=rows))
    assert _verdicts(table)["small/pg_recvlogical, events/s"] == "yes"


def test_noise_of_either_workload_counts_for_their_ratio() -> None:
    for noisy in ("tables_1", "tables_1000"):
        rows = [
            replace(
                ROW,
                workload=name,
                rates=(rate, rate * 1.3) if name == noisy else (rate, rate),
            )
            for name, rate in (("tables_1", 100.0), ("tables_1000", 40.0))
        ]
        table = target_table(Results("today", quick=False, rows=rows))
        assert _verdicts(table)["tables_1000/tables_1, events/s"] == "too noisy to judge"


def test_a_target_without_a_control_is_judged_in_a_noisy_run() -> None:
    slow = replace(LATENCY, percentiles={"p50": 8.1, "p99": 20.0})
    noisy = replace(ROW, rates=(100.0, 200.0), peak=151.0)
    verdicts = _verdicts(target_table(Results("today", quick=True, rows=[noisy], latencies=[slow])))
    assert verdicts["p50 at 1,000 commits/s, ms"] == "**no**"
    assert verdicts["peak RSS of all drains, MB"] == "**no**"


def test_a_missed_target_stands_out() -> None:
    slow = replace(LATENCY, percentiles={"p50": 8.1, "p99": 20.0})
    table = target_table(Results("today", quick=True, latencies=[slow]))
    assert [line.rpartition(" | ")[2].strip(" |") for line in table.splitlines()[2:]] == [
        "**no**",
        "yes",
    ]

"""Every kind of table has its snapshot."""

from collections.abc import Callable
from dataclasses import replace

from cdc_sidecar.failpoints import VARIABLE
from tests.acceptance.conftest import MARKS, Service
from tests.acceptance.snapshot_kinds import (
    FULL,
    INITIAL,
    KINDS,
    LARGE_RECORDS,
    PAD,
    Kind,
    await_ended,
    blocks,
    create,
    fill,
    write_some,
)
from tests.acceptance.snapshot_oracle import Compared, assert_snapshots, count_rows, read_seen
from tests.waiting import await_true


def test_every_kind_of_table_is_sent_once_while_it_changes(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(blocks(KINDS) + MARKS + LARGE_RECORDS, **INITIAL)
    create(service, KINDS, "WITH (publish_via_partition_root, publish_generated_columns = stored)")
    oracle = service.oracle()
    fill(service, KINDS)
    service.sidecar.start_and_stream()
    await_ended(service, len(KINDS), lambda turn: write_some(service, KINDS, turn))
    assert not service.sidecar.events("snapshot_failed")
    service.await_published()
    found = assert_snapshots(service, oracle, *(k.compared(n) for n, k in KINDS.items()))
    for (name, kind), seen in zip(KINDS.items(), found, strict=True):
        count = len([event for event in seen if event.op == "r"])
        assert count >= kind.count // 2, name


def test_leaves_are_read_one_by_one_if_they_are_published_as_themselves(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(blocks({}) + MARKS, **INITIAL)
    kinds = {"parts": KINDS["parts"]}
    create(service, kinds)
    oracle = service.oracle()
    fill(service, kinds)
    service.sidecar.start_and_stream()
    await_ended(service, 4)
    service.await_published()
    found = assert_snapshots(service, oracle, *(Compared(f"parts_{number}") for number in range(4)))
    assert [len(seen) for seen in found] == [99, 100, 1, 0]
    assert {event.op for seen in found for event in seen} == {"r"}


def test_a_row_that_the_row_filter_lets_in_comes_with_its_large_values(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(blocks({}) + MARKS, **INITIAL)
    kinds = {"filtered": replace(KINDS["filtered"], more=PAD)}
    create(service, kinds)
    fill(service, kinds)
    service.sql(
        "DELETE FROM filtered WHERE id BETWEEN 61 AND 70",
        "UPDATE filtered SET pad = repeat('p', 9000)",
    )
    service.sidecar.start(environment={VARIABLE: "after_chunk_read#2=delay"})
    service.sidecar.await_phase("streaming")
    await_true(lambda: count_rows(service), what="a chunk is published")
    service.sql("UPDATE filtered SET id = id + 60 WHERE id <= 10")  # to places that were read
    await_ended(service, 1)
    service.await_published()
    seen = read_seen(service, Compared("filtered"))[0]
    ids = {event.key for event in seen if event.after and event.after["pad"]}
    assert ids == {event.key for event in seen if event.op in {"c", "r"}}
    assert len(ids) == 140


_LARGER = (
    "id int PRIMARY KEY, n int, label text",
    "n, n, (SELECT string_agg(md5((n * k)::text), '') FROM generate_series(1, 3000) k)",
)


def test_values_that_are_larger_than_a_chunk_are_read_row_by_row(
    make_service: Callable[..., Service],
) -> None:
    small = {'mode = "never"': 'mode = "initial"\nchunk_bytes = "10kB"'}
    service = make_service(blocks({}) + MARKS, **small)
    kinds = {"by_key": Kind(*_LARGER, count=40), "by_page": Kind(*_LARGER, more=FULL)}
    create(service, kinds)
    oracle = service.oracle()
    fill(service, kinds)
    service.sidecar.start_and_stream()
    await_ended(service, 2)
    service.await_published()
    by_key, by_page = assert_snapshots(service, oracle, Compared("by_key"), Compared("by_page"))
    assert len({event.commit_lsn for event in by_key}) >= 40
    assert len({event.commit_lsn for event in by_page}) < 40, "a page is not divided"

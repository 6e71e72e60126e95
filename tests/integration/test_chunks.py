"""Chunks of a table are read on a real server: whole, or not at all."""

from collections.abc import Iterator

import psycopg
import pytest

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.config.secret import Secret
from cdc_sidecar.errors import SidecarError
from cdc_sidecar.events.snapshot.copied_lines import CopiedLines
from cdc_sidecar.postgres.chunks import ChunkReader, Part

_ROWS = 5000


@pytest.fixture
def reader(database: str) -> Iterator[ChunkReader]:
    """Yield a reader in a database with a table of 500 kB."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("CREATE TABLE items (id int PRIMARY KEY, text text)")
        owner.execute(
            "INSERT INTO items SELECT n, repeat('x', 100) FROM generate_series(1, %s::int) n",
            (_ROWS,),
        )
    opened = ChunkReader(Postgres(dsn=Secret("literal", database), slot="s", publication="p"))
    yield opened
    opened.close()


def _copy(reader: ChunkReader, limit: int = 0, where: str = "") -> list[bytes] | None:
    read = CopiedLines()
    with reader.transaction("ONLY public.items"):
        part = Part(where, ("id",))
        copied = reader.copy(("id", "text"), "ONLY public.items", part, read, limit)
    return read.lines if copied else None


def test_all_rows_are_read_in_order(reader: ChunkReader) -> None:
    lines = _copy(reader)
    assert lines
    assert [int(line.split(b"\t")[0]) for line in lines] == list(range(1, _ROWS + 1))
    assert all(line.endswith(b"x\n") for line in lines)


@pytest.mark.parametrize(
    ("limit", "where"), [(1000, ""), (0, "id = 1 OR pg_sleep(10)::text = ''")], ids=["size", "time"]
)
def test_a_chunk_that_is_too_large_or_slow_is_given_up_and_a_smaller_one_is_read(
    reader: ChunkReader, limit: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_sidecar.postgres.chunks._BEGIN", "BEGIN; SET statement_timeout = 300;")
    assert _copy(reader, limit, where) is None
    assert _copy(reader, limit, "id = 1") == [b"1\t" + b"x" * 100 + b"\n"]


def test_one_row_may_be_larger_than_the_limit(reader: ChunkReader) -> None:
    assert len(_copy(reader, 1, "id = 2") or []) == 1


def test_an_error_of_the_server_is_translated_and_the_reader_goes_on(reader: ChunkReader) -> None:
    with pytest.raises(SidecarError, match="division by zero"):
        _copy(reader, where="id / (id - 7) > 0")
    assert len(_copy(reader, where="id < 7") or []) == 6

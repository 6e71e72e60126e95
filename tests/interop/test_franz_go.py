"""franz-go's registry client reads the bare text of schemas."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.conftest import MARKS, TABLES, Service, service_maker

_PROGRAM = Path(__file__).parent / "franz_go"
_GO = shutil.which("go")


@pytest.fixture
def service(database: str, kafka: KafkaBroker, tmp_path: Path) -> Iterator[Service]:
    """Yield a service whose sidecar has published a row."""
    with service_maker(database, kafka.bootstrap_servers, tmp_path) as make:
        yield _published(make)


def _published(make: Callable[..., Service]) -> Service:
    service = make(TABLES + MARKS)
    service.sql("CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR ALL TABLES")
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1)")
    service.await_published()
    return service


@pytest.mark.skipif(_GO is None, reason="Go is not installed")
@pytest.mark.parametrize("part", ["key", "value"])
def test_franz_go_reads_the_same_text_by_version_and_by_id(
    service: Service, tmp_path: Path, part: str
) -> None:
    subject, program = f"{service.name}.public.items-{part}", tmp_path / "reader"
    subprocess.run([str(_GO), "build", "-o", program, "."], cwd=_PROGRAM, check=True)
    registry = f"http://127.0.0.1:{service.sidecar.port}"
    done = subprocess.run(
        [program, registry, subject], capture_output=True, text=True, timeout=30, check=True
    )
    identifier, by_version, by_id = done.stdout.splitlines()
    served = json.loads(service.sidecar.get(f"/subjects/{subject}/versions/1")[1])
    assert int(identifier) == served["id"]
    assert json.loads(by_version) == json.loads(by_id) == json.loads(served["schema"])
    assert isinstance(json.loads(by_version), dict)  # and not a string with JSON in it

"""The interfaces for others: Confluent's deserializer, Kafka's consumer, probes, people."""

import gzip
import io
import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from cdc_sidecar.events.reader import without_logical_types
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.events import Records, read_topics
from tests.acceptance.obeying import Person
from tests.acceptance.own_postgres import ITEMS
from tests.acceptance.test_check import faults_of
from tests.waiting import await_true


def _publish_one(service: Service) -> str:
    service.sidecar.start_and_stream()
    service.sql("INSERT INTO items VALUES (1, 10, 'a'), (2, NULL, 'b')")
    service.await_published()
    return f"{service.name}.public.items"


def test_confluents_deserializer_reads_events_through_our_registry(service: Service) -> None:
    topic = _publish_one(service)
    records = read_topics(service.kafka, [topic]).values()
    with SchemaRegistryClient({"url": f"http://127.0.0.1:{service.sidecar.port}"}) as client:
        rows = _deserialize(AvroDeserializer(client), topic, records)
        latest = client.get_latest_version(f"{topic}-value")
        subjects = client.get_subjects()
    assert rows == {
        1: {"id": 1, "n": 10, "label": "a"},
        2: {"id": 2, "n": None, "label": "b"},
    }
    assert latest.version == 1
    assert f"{topic}-key" in subjects


def _deserialize(
    deserializer: AvroDeserializer, topic: str, partitions: Iterable[Records]
) -> dict[int, Any]:
    rows = {}
    for records in partitions:
        for key, value, _ in records:
            decoded_key: Any = deserializer(key, SerializationContext(topic, MessageField.KEY))
            event: Any = deserializer(value, SerializationContext(topic, MessageField.VALUE))
            rows[decoded_key["id"]] = event["after"]
    return rows


def test_kafkas_own_console_consumer_lists_the_committed_records(
    service: Service, kafka: KafkaBroker
) -> None:
    topic = _publish_one(service)
    run = subprocess.run(
        [
            *kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer"),
            *("--bootstrap-server", service.kafka, "--topic", topic, "--from-beginning"),
            *("--isolation-level", "read_committed", "--max-messages", "2"),
            *("--timeout-ms", "30000"),
        ],
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert b"Processed a total of 2 messages" in run.stderr + run.stdout, run.stderr[-2000:]
    assert run.stdout.count(b"postgresql") == 2


def test_the_schemas_topic_alone_is_enough_to_read_the_events(service: Service) -> None:
    topic = _publish_one(service)
    service.sidecar.kill()
    schemas = {}
    for records in read_topics(service.kafka, [f"_cdc.{service.name}.schemas"]).values():
        for key, value, _ in records:
            record = json.loads(value or b"")
            if not (key or b"").startswith((b"layout/", b"topic/")):
                schemas[record["id"]] = fastavro.parse_schema(
                    without_logical_types(json.loads(record["schema"]))
                )
    for records in read_topics(service.kafka, [topic]).values():
        for _, value, _ in records:
            assert value is not None
            schema = schemas[int.from_bytes(value[1:5], "big")]
            event = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
            assert isinstance(event, dict)
            assert event["op"] == "c"


def test_the_registry_answers_as_confluents_does(service: Service) -> None:
    topic = _publish_one(service)
    get = service.sidecar.get
    assert get("/schemas/types") == (200, '["AVRO"]')
    assert get("/subjects/none/versions")[0] == 404
    assert json.loads(get("/subjects/none/versions")[1])["error_code"] == 40401
    assert json.loads(get(f"/subjects/{topic}-value/versions/9")[1])["error_code"] == 40402
    assert json.loads(get("/schemas/ids/7?fetchMaxId=false")[1])["error_code"] == 40403
    assert json.loads(get("/associations/x")[1])["error_code"] == 404
    version = json.loads(get(f"/subjects/{topic}-value/versions/latest?deleted=false")[1])
    by_id = json.loads(get(f"/schemas/ids/{version['id']}")[1])
    assert by_id["schema"] == version["schema"]
    uses = json.loads(get(f"/schemas/ids/{version['id']}/versions")[1])
    assert uses == [{"subject": f"{topic}-value", "version": 1}]


def test_metrics_health_and_status_tell_the_truth(service: Service) -> None:
    _publish_one(service)
    get = service.sidecar.get
    metrics = service.sidecar.scrape()
    assert 'cdc_sidecar_events_total{op="c",table="public.items"} 2.0' in metrics
    assert 'cdc_sidecar_kafka_transactions_total{state="committed"}' in metrics
    assert "cdc_sidecar_streaming 1.0" in metrics
    assert "cdc_sidecar_lag_seconds 0.0" in metrics
    assert get("/livez")[0] == get("/readyz")[0] == 200
    status = service.sidecar.status()
    assert status is not None
    assert status["version"] == 1
    assert status["position"] == status["acknowledged"]
    assert status["kafka"]["reachable"] is True
    assert f"<title>{service.name}: streaming" in get("/")[1]
    await_true(
        lambda: 'cdc_sidecar_slot_wal_status{state="reserved"} 1.0' in service.sidecar.scrape(),
        what="the guardian's first look",
    )


def test_series_start_at_0_have_the_names_of_service_and_slot_and_are_compressed(
    service: Service,
) -> None:
    _publish_one(service)
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.sidecar.port}/metrics",
        headers={
            "Accept": "application/openmetrics-text; version=1.0.0",
            "Accept-Encoding": "gzip",
        },
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - http
        assert answer.headers["Content-Encoding"] == "gzip"
        text = gzip.decompress(answer.read()).decode()
    assert text.endswith("# EOF\n")
    ours = f'service="{service.name}",slot="{service.name}_cdc"'
    for series, value in (
        (f'events_total{{op="c",{ours},table="public.items"}}', 2),
        (f'events_total{{op="d",{ours},table="public.items"}}', 0),
        (f'phase{{{ours},state="streaming"}}', 1),
        (f'phase{{{ours},state="halted"}}', 0),
        (f"leader{{{ours}}}", 1),
        (f"ready{{{ours}}}", 1),
        (f"kafka_reachable{{{ours}}}", 1),
        (f'halted{{reason="",{ours}}}', 0),
        (f'schema_version{{{ours},subject="{service.name}.public.items-value"}}', 1),
        (f"source_transactions_total{{{ours}}}", 2),
        (f'end_to_end_seconds_bucket{{le="300.0",{ours}}}', 2),
        (f'log_lines_total{{level="error",{ours}}}', 0),
    ):
        assert f"cdc_sidecar_{series} {value:.1f}\n" in text, series
    assert "_created" not in text


def test_tail_prints_decoded_events_and_stops_at_its_limit(service: Service) -> None:
    topic = _publish_one(service)
    run = service.sidecar.run("tail", "--from-beginning", "--limit", "2", topic)
    assert run.returncode == 0, run.stderr
    events = [json.loads(line) for line in run.stdout.splitlines()]
    assert {event["key"]["id"] for event in events} == {1, 2}
    assert all(event["value"]["op"] == "c" for event in events)


def test_our_readers_never_raise_where_pythons_dates_end(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + '[messages]\nprefixes = ["mark"]\n')
    service.sql(
        "CREATE TABLE edge (id int PRIMARY KEY, d date, t time, s timestamp, z timestamptz)",
        "CREATE PUBLICATION cdc FOR ALL TABLES",
    )
    service.sidecar.start_and_stream()
    service.sql(
        "INSERT INTO edge VALUES (1, 'infinity', '24:00', '-infinity', 'infinity'),"
        " (2, '0044-03-15 BC', '00:00', '0044-03-15 01:02:03.5 BC', '12345-01-01 00:00+00')"
    )
    service.await_published()
    topic = f"{service.name}.public.edge"
    run = service.sidecar.run("tail", "--from-beginning", "--limit", "2", topic)
    rows = [json.loads(line)["value"]["after"] for line in run.stdout.splitlines()]
    first, second = sorted(rows, key=lambda row: row["id"])
    assert first == {"id": 1, "d": "infinity", "t": "24:00:00", "s": "-infinity", "z": "infinity"}
    assert second == {
        "id": 2,
        "d": "0044-03-15 BC",
        "t": "00:00:00",
        "s": "0044-03-15 01:02:03.5 BC",
        "z": "12345-01-01 00:00:00+00",
    }


def test_check_tells_each_fault_with_its_cure_and_exits_1(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        '\n[[tables]]\nname = "public.absent"\ncolumns = ["*"]\n',
        **{"create_slot = true": "create_slot = false", "create = true": "create = false"},
    )
    service.sql("CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION cdc FOR TABLE items")
    run = service.sidecar.run("check", "--json")
    report = json.loads(run.stdout)
    faults = {check["code"]: check for check in report["checks"] if check["severity"] == "error"}
    assert run.returncode == 1
    assert faults.keys() == {"CDC-204", "CDC-208", "CDC-404"}
    assert all(fault["hint"] for fault in faults.values())
    assert "Traceback" not in run.stderr


def test_check_is_content_and_disturbs_nobody(service: Service) -> None:
    _publish_one(service)
    run = service.sidecar.run("check")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "none is due" in run.stdout
    assert len(service.sidecar.events("stream_started")) == 1
    service.sql("INSERT INTO items VALUES (3, 3, 'c')")
    service.await_published()
    assert not service.sidecar.events("session_ended")


def test_check_tries_to_reach_servers_that_are_away_and_after_its_hints_the_sidecar_runs(
    make_service: Callable[..., Service], kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    service = make_service(
        TABLES + MARKS,
        **{f'bootstrap_servers = "{kafka.bootstrap_servers}"': 'bootstrap_servers = "127.0.0.1:1"'},
    )
    config = service.sidecar.config
    port = service.dsn.split("port=")[1].split()[0]
    config.write_text(config.read_text().replace(f"port={port}", "port=1"))
    service.sql(*ITEMS)
    person, faults = Person(service, kafka, postgres), faults_of(service)
    assert {fault["code"] for fault in faults} == {"CDC-201", "CDC-401"}
    for fault in faults:
        person.obey({"fact": fault["fact"], **fault})
    assert person.start_and_obey() == []


def test_a_secret_never_shows(service: Service, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("canary-password\n")
    config = service.sidecar.config
    config.write_text(
        config.read_text().replace("\nslot =", f'\npassword = {{ file = "{secret}" }}\nslot =')
    )
    _publish_one(service)
    shown = [service.sidecar.get(path)[1] for path in ("/metrics", "/status", "/")]
    runs = [service.sidecar.run(command) for command in ("check", "status", "setup-sql")]
    printed = [run.stdout + run.stderr for run in runs]
    assert "canary" not in "".join([*shown, *printed, service.sidecar.log_text()])


def test_a_records_partition_is_the_java_clients(service: Service) -> None:
    """The expected values are those of Kafka's own `Utils.murmur2`."""
    topic = _publish_one(service)
    for (_, partition), records in read_topics(service.kafka, [topic]).items():
        for key, _, _ in records:
            assert key is not None
            assert (_murmur2(key) & 0x7FFFFFFF) % 3 == partition


def _murmur2(data: bytes) -> int:
    """Return the hash of Kafka's Java clients (`org.apache.kafka.common.utils.Utils.murmur2`)."""
    mask, mix = 0xFFFFFFFF, 0x5BD1E995
    value = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mix & mask
        word = (word ^ word >> 24) * mix & mask
        value = value * mix & mask ^ word
    rest = data[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * mix & mask
    value = (value ^ value >> 13) * mix & mask
    return value ^ value >> 15

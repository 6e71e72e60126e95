"""The hints of errors about the file, the environment and the port work when they are followed."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.kafka import KafkaBroker
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import MARKS, TABLES, Service
from tests.acceptance.obeying import Person, set_key
from tests.acceptance.own_postgres import ITEMS
from tests.waiting import await_true


def test_after_the_hints_about_the_file_the_environment_and_the_port_it_runs(
    service: Service, kafka: KafkaBroker, postgres: PostgresServer, tmp_path: Path
) -> None:
    config = service.sidecar.config
    text = config.read_text().replace("publication = ", "publicaton = ", 1)
    config.write_text(text.replace("[kafka]\n", "[kafka]\nno TOML\n", 1))
    person = Person(service, kafka, postgres, environment={VARIABLE: "nowhere=kill"})
    service.sidecar.config = tmp_path / "nowhere.toml"
    error = person.start()
    assert error
    assert error["code"] == "CDC-101"
    assert "name the file with --config" in error["hint"]
    service.sidecar.config = config  # `Sidecar` names it with this option
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", service.sidecar.port))
        codes = person.start_and_obey()
    assert sorted(codes) == ["CDC-101", "CDC-102", "CDC-104", "CDC-120"]


def test_a_secret_that_is_restored_is_read_without_a_restart(
    make_service: Callable[..., Service],
    kafka: KafkaBroker,
    postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    secret = tmp_path / "password"
    secret.write_text("not asked for")
    password = f'[postgres]\npassword = {{ file = "{secret}" }}\n'
    service = make_service(TABLES + MARKS, **{"[postgres]\n": password})
    service.sql(*ITEMS)
    person, sidecar = Person(service, kafka, postgres), service.sidecar
    assert person.start_and_obey() == []
    secret.unlink()
    service.sql(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        f" WHERE slot_name = '{service.name}_cdc'"
    )

    def refused() -> bool:
        return any(ended["code"] == "CDC-103" for ended in sidecar.events("session_ended"))

    await_true(refused, what="the secret is missed")
    (ended, *_) = [each for each in sidecar.events("session_ended") if each["code"] == "CDC-103"]
    person.obey(ended)
    sidecar.await_phase("streaming")
    service.await_published()


def test_a_configuration_that_exists_is_replaced_and_then_it_runs(
    service: Service, kafka: KafkaBroker, postgres: PostgresServer
) -> None:
    sidecar, person = service.sidecar, Person(service, kafka, postgres)
    words = ("--dsn", service.dsn, "--bootstrap-servers", service.kafka, "--role", "postgres")
    error = person.error(sidecar.run("init", *words).stderr)
    assert error["code"] == "CDC-105"
    (option,) = re.findall(r"replace it with (--\S+)", error["hint"])
    assert sidecar.run("init", *words, option).returncode == 0
    listen = json.dumps(f"127.0.0.1:{sidecar.port}")
    sidecar.config.write_text(set_key(sidecar.config.read_text(), "http", "listen", listen))
    person.psql(sidecar.run("setup-sql", "--diff").stdout)
    assert set(person.start_until_streaming()) <= {"CDC-501"}

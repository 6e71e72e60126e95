"""Teardown removes the slot and the topics that the sidecar made, and nothing else."""

from collections.abc import Callable

import psycopg
import pytest

from cdc_sidecar.failpoints import VARIABLE
from cdc_sidecar.servers.postgres import PostgresServer
from tests.acceptance.conftest import TABLES, Service
from tests.conftest import drop_slots
from tests.topics import delete_topics, make_topic, topics_of
from tests.waiting import await_true

CREATE = (
    "CREATE TABLE items (id bigint PRIMARY KEY)",
    "CREATE TABLE others (id bigint PRIMARY KEY)",
    "CREATE PUBLICATION cdc FOR ALL TABLES",
)


def _topics(service: Service) -> set[str]:
    """Return the topics whose names contain the service's name."""
    return {name for name in topics_of(service.kafka) if service.name in name}


def _slots(service: Service) -> set[str]:
    with psycopg.connect(service.dsn, autocommit=True) as connection:
        query = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
        return {str(row[0]) for row in connection.execute(query)}


def _run_once(service: Service, *rows: str) -> None:
    service.sidecar.start_and_stream()
    service.sql(*rows)
    service.await_published()
    assert service.sidecar.terminate() == 0


@pytest.fixture
def stopped(make_service: Callable[..., Service]) -> Service:
    """Yield a stopped service. Its user made the topic `others`, the sidecar everything else."""
    service = make_service(TABLES + '[messages]\nprefixes = ["mark"]\n')
    service.sql(*CREATE)
    make_topic(service.kafka, f"{service.name}.public.others")
    make_topic(service.kafka, f"{service.name}.reports")
    _run_once(service, "INSERT INTO items VALUES (1)", "INSERT INTO others VALUES (1)")
    return service


def test_without_yes_it_lists_what_it_would_remove_and_changes_nothing(stopped: Service) -> None:
    topics, slots = _topics(stopped), _slots(stopped)
    run = stopped.sidecar.run("teardown")
    assert run.returncode == 0, run.stderr
    name = stopped.name
    wanted = [
        f"removes  slot {name}_cdc",
        f"removes  topic {name}.message",
        f"removes  topic {name}.public.items",
        f"removes  topic _cdc.{name}.position",
        f"removes  topic _cdc.{name}.schemas",
    ]
    assert run.stdout.splitlines()[:-1] == wanted
    assert "--yes" in run.stdout
    assert (_topics(stopped), _slots(stopped)) == (topics, slots)


def test_it_leaves_topics_of_users_and_other_slots_alone(stopped: Service) -> None:
    stopped.oracle()
    others = _slots(stopped) - {f"{stopped.name}_cdc"}
    assert others
    run = stopped.sidecar.run("teardown", "--yes")
    assert run.returncode == 0, run.stderr
    assert _slots(stopped) == others
    left = {f"{stopped.name}.public.others", f"{stopped.name}.reports"}
    await_true(lambda: _topics(stopped) == left, what="the sidecar's topics gone, and no others")
    for arguments in (("teardown",), ("teardown", "--yes")):
        again = stopped.sidecar.run(*arguments)
        assert (again.returncode, again.stdout) == (0, "nothing to remove\n")


def test_a_teardown_that_was_broken_off_can_be_called_again(stopped: Service) -> None:
    stopped.sql(f"SELECT pg_drop_replication_slot('{stopped.name}_cdc')")
    for topic in (f"{stopped.name}.public.items", f"_cdc.{stopped.name}.position"):
        delete_topics(stopped.kafka, topic)
    assert stopped.sidecar.run("teardown", "--yes").returncode == 0
    left = {f"{stopped.name}.public.others", f"{stopped.name}.reports"}
    await_true(lambda: _topics(stopped) == left, what="the rest of the sidecar's topics gone")


def test_after_a_teardown_a_start_is_a_first_start(stopped: Service) -> None:
    assert stopped.sidecar.run("teardown", "--yes").returncode == 0
    stopped.sql("INSERT INTO items VALUES (2)")
    _run_once(stopped, "INSERT INTO items VALUES (3)")
    assert len(stopped.sidecar.events("slot_created")) == 2


def test_a_topic_that_a_user_made_anew_is_left_alone(stopped: Service) -> None:
    topic = f"{stopped.name}.public.items"
    delete_topics(stopped.kafka, topic)
    make_topic(stopped.kafka, topic)
    run = stopped.sidecar.run("teardown", "--yes")
    assert run.returncode == 0, run.stderr
    assert topic not in run.stdout
    assert topic in _topics(stopped)


def test_internal_topics_that_a_user_made_are_left_alone_and_told(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + '[messages]\nprefixes = ["mark"]\n')
    service.sql(*CREATE)
    internal = [f"_cdc.{service.name}.{kind}" for kind in ("position", "schemas")]
    for name in internal:
        make_topic(service.kafka, name, settings={"cleanup.policy": "compact"})
    _run_once(service, "INSERT INTO items VALUES (1)")
    told = service.sidecar.run("teardown").stdout
    assert all(f"leaves   topic {name}" in told for name in internal)
    assert service.sidecar.run("teardown", "--yes").returncode == 0
    await_true(lambda: _topics(service) == set(internal), what="only the user's topics left")


def test_the_topic_of_an_outbox_event_is_remembered_too(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(
        '\n[[outboxes]]\ntable = "public.outbox"\n[messages]\nprefixes = ["mark"]\n'
    )
    service.sql(
        "CREATE TABLE outbox (id int PRIMARY KEY, aggregatetype text, aggregateid text,"
        " type text, payload text)",
        CREATE[-1],
    )
    _run_once(service, f"INSERT INTO outbox VALUES (1, '{service.name}', '1', 'made', 'x')")
    topic = f"outbox.event.{service.name}"
    assert topic in _topics(service)
    assert f"removed  topic {topic}\n" in service.sidecar.run("teardown", "--yes").stdout
    await_true(lambda: not _topics(service), what="every topic gone")


def test_a_topic_made_just_before_a_crash_is_rather_left_than_guessed(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(TABLES + '[messages]\nprefixes = ["mark"]\n')
    service.sql(*CREATE)
    service.sidecar.start(environment={VARIABLE: "after_topics_created=kill"})
    assert service.sidecar.await_exit() == -9
    unremembered = _topics(service)
    assert unremembered == {f"_cdc.{service.name}.{kind}" for kind in ("position", "schemas")}
    _run_once(service, "INSERT INTO items VALUES (1)")
    assert service.sidecar.run("teardown", "--yes").returncode == 0
    await_true(lambda: _topics(service) == unremembered, what="what is remembered is gone")


def test_a_slot_that_no_position_of_the_service_names_is_left_alone(
    make_service: Callable[..., Service],
) -> None:
    service = make_service()
    slot = f"{service.name}_cdc"
    service.sql(*CREATE, f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    assert f"leaves   slot {slot}" in service.sidecar.run("teardown").stdout
    assert service.sidecar.run("teardown", "--yes").returncode == 0
    assert _slots(service) == {slot}


def test_nothing_is_removed_while_a_sidecar_lives(stopped: Service) -> None:
    stopped.sidecar.start_and_stream()
    topics, slots = _topics(stopped), _slots(stopped)
    run = stopped.sidecar.run("teardown", "--yes")
    assert run.returncode == 2
    assert "CDC-510" in run.stderr
    assert (_topics(stopped), _slots(stopped)) == (topics, slots)
    stopped.await_published()
    assert not stopped.sidecar.events("session_ended")


def test_a_clone_cannot_remove_what_belongs_to_the_original(
    stopped: Service, make_service: Callable[..., Service], postgres: PostgresServer
) -> None:
    other = f"other_{stopped.name}"
    clone = make_service(TABLES, name=stopped.name, **{stopped.dsn: postgres.dsn(other)})
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{other}"'.encode())
        try:
            topics, slots = _topics(stopped), _slots(stopped)
            run = clone.sidecar.run("teardown", "--yes")
            assert run.returncode == 3
            assert "CDC-503" in run.stderr
            assert (_topics(stopped), _slots(stopped)) == (topics, slots)
        finally:
            await_true(lambda: drop_slots(admin, other), what=f"the slots of {other} dropped")
            admin.execute(f'DROP DATABASE "{other}" WITH (FORCE)'.encode())

"""A file and the environment make a configuration."""

import tempfile
from pathlib import Path

import pytest

from cdc_sidecar.config.load import load_config, read_all
from cdc_sidecar.config.secret import Secret
from cdc_sidecar.errors import ConfigUnreadable
from tests.unit.config_file import Loader

# --- accepted configurations


def test_a_minimal_file_has_defaults_under_which_every_user_is_safe(loader: Loader) -> None:
    config = loader.load()
    assert config.transactional_id == "cdc.orders.orders_cdc"
    assert (config.postgres.create_slot, config.topics.create) == (False, False)
    assert config.publish.max_delay == 0.002
    assert config.publish.transaction_timeout == 300
    assert config.publish.split_seconds == 240
    assert config.shutdown.grace == 25
    assert (config.http.host, config.http.port) == ("0.0.0.0", 9464)  # noqa: S104 - the default
    (table,) = config.tables
    assert (table.on_error, table.truncate, table.tombstones) == ("halt", "skip", True)


_EXAMPLE = """
[service]
name = "orders"
[postgres]
dsn = "host=db dbname=orders user=cdc_sidecar"
password = "x"
slot = "orders_cdc"
publication = "orders_cdc"
create_slot = true
[kafka]
bootstrap_servers = "kafka:9092"
[kafka.client]
"security.protocol" = "SASL_SSL"
[topics]
create = true
partitions = 6
replication_factor = 3
config = { "min.insync.replicas" = "2" }
[publish]
max_delay = "2ms"
max_batch_bytes = "16MB"
transaction_timeout = "5m"
[[tables]]
name = "public.orders"
columns = ["id", "status", "total", "email"]
on_error = "halt"
[tables.column.total]
rename = "amount"
[tables.column.email]
mask = "hash"
[[outboxes]]
table = "public.outbox"
[messages]
prefixes = ["audit"]
[http]
listen = "0.0.0.0:9464"
[log]
level = "info"
[shutdown]
grace = "25s"
"""


def test_the_contracts_example_is_accepted_without_the_external_registry(loader: Loader) -> None:
    config = loader.load_alone(_EXAMPLE)
    assert config.tables[0].column["total"].rename == "amount"
    assert config.topics.config == {"min.insync.replicas": "2"}
    assert config.publish.max_batch_bytes == 16_000_000
    assert read_all(config.kafka.client) == {"security.protocol": "SASL_SSL"}


def test_a_column_can_be_listed_by_all_the_names_that_it_has_had(loader: Loader) -> None:
    config = loader.load("""
        [[tables]]
        name = "public.tasks"
        columns = ["id", ["state", "status"]]
        [tables.column.state]
        rename = "status"
    """)
    table = config.tables[-1]
    assert table.listed == (("id",), ("state", "status"))
    assert [table.sends(name) for name in ("id", "state", "status", "x")] == [
        True,
        True,
        True,
        False,
    ]


def test_a_transactional_id_can_be_chosen(loader: Loader) -> None:
    environment = {"CDC_SIDECAR__KAFKA__TRANSACTIONAL_ID": "mine"}
    assert loader.load(environment=environment).transactional_id == "mine"


def test_a_root_on_which_nothing_can_be_written_has_a_path_for_the_socket(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", _find_none)
    assert loader.load().control_socket == Path("/tmp/cdc-sidecar-orders.sock")  # noqa: S108
    assert loader.load('[snapshot]\nsocket = "/run/x"').control_socket == Path("/run/x")


def _find_none() -> str:
    raise FileNotFoundError


def test_an_ipv6_address_can_be_listened_on(loader: Loader) -> None:
    config = loader.load('[http]\nlisten = "[::1]:0"')
    assert (config.http.host, config.http.port) == ("::1", 0)


# --- unreadable files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadable, match=r"nowhere\.toml does not exist"):
        load_config(tmp_path / "nowhere.toml", {})


def test_a_file_that_is_not_toml_is_reported_with_the_line(loader: Loader) -> None:
    with pytest.raises(ConfigUnreadable, match=r"is not valid TOML: .*line 2"):
        loader.load_alone("[service]\nname = \n")


def test_a_file_that_is_not_utf_8_is_reported(loader: Loader) -> None:
    loader.path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigUnreadable, match="UnicodeDecodeError"):
        load_config(loader.path, {})


# --- the environment


def test_a_variable_overrides_a_key_and_is_read_as_toml(loader: Loader) -> None:
    config = loader.load(
        environment={
            "CDC_SIDECAR__KAFKA__BOOTSTRAP_SERVERS": "other:9092",
            "CDC_SIDECAR__POSTGRES__CREATE_SLOT": "true",
            "CDC_SIDECAR__TOPICS__PARTITIONS": "12",
            "CDC_SIDECAR__PUBLISH__MAX_DELAY": "5ms",
            "CDC_SIDECAR__MESSAGES__PREFIXES": '["audit", "signal"]',
            "CDC_SIDECAR__POSTGRES__PASSWORD": '{ env = "HOME" }',
            "PATH": "/bin",
        }
    )
    assert config.kafka.bootstrap_servers == "other:9092"
    assert config.postgres.create_slot is True
    assert config.topics.partitions == 12
    assert config.publish.max_delay == 0.005
    assert config.messages.prefixes == ("audit", "signal")
    assert config.postgres.password == Secret("env", "HOME")


def test_a_variable_can_name_settings_with_dots(loader: Loader) -> None:
    config = loader.load(
        environment={
            "CDC_SIDECAR__KAFKA__CLIENT__SECURITY_PROTOCOL": "SSL",
            "CDC_SIDECAR__TOPICS__CONFIG__MIN_INSYNC_REPLICAS": '"2"',
        }
    )
    assert read_all(config.kafka.client) == {"security.protocol": "SSL"}
    assert config.topics.config == {"min.insync.replicas": "2"}


def test_a_variable_can_hold_all_settings_of_a_table(loader: Loader) -> None:
    environment = {"CDC_SIDECAR__KAFKA__CLIENT": '{ "security.protocol" = "SSL" }'}
    assert read_all(loader.load(environment=environment).kafka.client) == {
        "security.protocol": "SSL"
    }

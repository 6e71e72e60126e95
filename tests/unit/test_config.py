"""A file and the environment make a configuration, or one error with every mistake."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_sidecar.config.load import load_config, read_all
from cdc_sidecar.config.model import OWNED_CLIENT_SETTINGS, Config
from cdc_sidecar.config.secret import Secret, is_reference, parse_secret
from cdc_sidecar.config.units import parse_duration, parse_size
from cdc_sidecar.errors import ConfigInvalid, ConfigUnreadable, SecretUnavailable

_MINIMAL = """
[service]
name = "orders"
[postgres]
dsn = "host=db dbname=orders"
slot = "orders_cdc"
publication = "orders_cdc"
[kafka]
bootstrap_servers = "kafka:9092"
[[tables]]
name = "public.orders"
columns = ["*"]
"""


class Loader:
    """Writes a file and loads it."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`."""
        self.path = folder / "config.toml"

    def load(self, text: str = "", environment: dict[str, str] | None = None) -> Config:
        """Load the minimal file followed by `text`."""
        return self.load_alone(_MINIMAL + text, environment)

    def load_alone(self, text: str, environment: dict[str, str] | None = None) -> Config:
        """Load `text` alone."""
        self.path.write_text(text, encoding="utf-8")
        return load_config(self.path, environment or {})

    def mistakes(self, text: str, environment: dict[str, str] | None = None) -> list[str]:
        """Return the mistakes of the minimal file followed by `text`."""
        with pytest.raises(ConfigInvalid) as invalid:
            self.load(text, environment)
        return [line.removeprefix("  - ") for line in invalid.value.fact.splitlines()[1:]]


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    """Return a loader of one file."""
    return Loader(tmp_path)


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
    assert (table.on_error, table.truncate, table.tombstones) == ("halt", "event", True)


def test_the_contracts_example_is_accepted_without_the_external_registry(loader: Loader) -> None:
    config = loader.load_alone("""
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
    """)
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


def test_an_ipv6_address_can_be_listened_on(loader: Loader) -> None:
    config = loader.load('[http]\nlisten = "[::1]:0"')
    assert (config.http.host, config.http.port) == ("::1", 0)


# --- mistakes


def test_every_mistake_is_reported_at_once_with_its_key(loader: Loader) -> None:
    mistakes = loader.mistakes("""
        on_eror = "halt"
        [tables.column.x]
        maks = "hash"
        [[tables]]
        columns = ["*"]
        [publsh]
        [topics]
        create = "yes"
        [publish]
        max_delay = 2
        [log]
        level = "loud"
        [http]
        listen = "9464"
    """)
    assert mistakes == [
        "topics.create: must be true or false",
        'publish.max_delay: must be a duration with a unit, such as "250ms", "30s" or "5m"',
        "tables[0].column.x.maks: unknown key (did you mean mask?)",
        "tables[0].on_eror: unknown key (did you mean on_error?)",
        "tables[1].name: missing",
        'http.listen: must be host:port, such as "0.0.0.0:9464"',
        "log.level: must be 'debug', 'info', 'warning' or 'error'",
        "publsh: unknown key (did you mean publish?)",
    ]


def test_the_number_of_mistakes_and_the_file_are_reported(loader: Loader) -> None:
    with pytest.raises(ConfigInvalid) as invalid:
        loader.load("[lgo]\n[pots]\n")
    assert invalid.value.fact.startswith(f"2 mistakes in {loader.path}\n")
    with pytest.raises(ConfigInvalid, match="1 mistake in"):
        loader.load("[lgo]")


def test_an_unknown_key_that_resembles_no_other_is_answered_with_the_known_keys(
    loader: Loader,
) -> None:
    (mistake,) = loader.mistakes("[shutdown]\nqqq = 1")
    assert mistake == "shutdown.qqq: unknown key (known keys: grace, on_halt)"


def test_missing_sections_are_reported(loader: Loader) -> None:
    with pytest.raises(ConfigInvalid) as invalid:
        loader.load_alone("")
    reported = invalid.value.fact
    assert all(f"- {name}: missing" in reported for name in ("service", "postgres", "kafka"))


def test_an_external_registry_is_reported_as_not_supported_and_not_as_an_unknown_key(
    loader: Loader,
) -> None:
    (mistake,) = loader.mistakes('[registry]\nurl = "http://registry:8081"')
    assert mistake == (
        "registry: an external registry is not supported in this version; the built-in one is used"
    )


@pytest.mark.parametrize("setting", sorted(OWNED_CLIENT_SETTINGS))
def test_a_client_setting_on_which_exactly_once_depends_is_refused(
    loader: Loader, setting: str
) -> None:
    (mistake,) = loader.mistakes(f'[kafka.client]\n"{setting}" = "1"')
    assert mistake == (f"kafka: the sidecar sets {setting}; remove it from [kafka.client]")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[topics]\ncreate = true", "topics: create = true requires partitions and"),
        ("[topics]\npartitions = 0", "topics.partitions: must be greater than or equal to 1"),
        ('[topics]\npartitions = "6"', "topics.partitions: must be an integer"),
        ('[messages]\nprefixes = "audit"', "messages.prefixes: must be a list"),
        ("[messages]\nprefixes = [7]", "messages.prefixes[0]: must be a string"),
        ('[topics]\nconfig = "x"', "topics.config: must be a table"),
        ('[[tables]]\nname = "a.b"\ncolumns = ["*"]\nkey = []', "must have at least 1 item"),
        ('[[outboxes]]\ntable = "a.b"\ncolumns = 7', "outboxes[0].columns: must be a table"),
        ('[publish]\nsplit_after = "5m"', "publish: split_after must be shorter than"),
        ('[publish]\nmax_batch_bytes = "0B"', "publish.max_batch_bytes: must be greater"),
        ('[[tables]]\nname = "orders"\ncolumns = ["*"]', "tables[1].name: must be schema.table"),
        ('[[tables]]\nname = "a.b"\ncolumns = []', "tables[1].columns: "),
        ('[[tables]]\nname = "public.orders"\ncolumns = ["*"]', "public.orders is configured more"),
        ('[[outboxes]]\ntable = "public.orders"', "public.orders is configured more than once"),
        ('[[outboxes]]\ntable = "a.b"\ntopic = "x"', "outboxes[0]: topic must contain"),
        (
            '[[tables]]\nname = "a.b"\ncolumns = ["*"]\non_error = "park"',
            '"park" is not supported in',
        ),
        (
            '[[tables]]\nname = "a.b"\ncolumns = ["x"]\n[tables.column.y]\nmask = "hash"',
            "tables[1]: column y is configured, but columns does not list it",
        ),
        ('[[tables]]\nname = "a.b"\ncolumns = [["x"]]', "tables[1].columns[0]: must be the name"),
        ('[[tables]]\nname = "a.b"\ncolumns = [["x", "*"]]', "columns[0]: must be the name of"),
        ('[[tables]]\nname = "a.b"\ncolumns = [7]', "columns[0]: must be the name of"),
        (
            '[[tables]]\nname = "a.b"\ncolumns = ["x", ["y", "x"]]',
            "tables[1]: column x is listed more than once",
        ),
        (
            '[[outboxes]]\ntable = "a.b"\ntopic = "x {aggregatetype}"',
            "topic may contain only letters",
        ),
        ('[http]\nlisten = "localhost:65536"', "http.listen: must be host:port"),
    ],
)
def test_a_value_that_makes_no_sense_is_reported(loader: Loader, text: str, mistake: str) -> None:
    (reported,) = loader.mistakes(text)
    assert mistake in reported


def test_a_file_with_nothing_to_capture_is_refused(loader: Loader) -> None:
    head = _MINIMAL.partition("[[tables]]")[0]
    with pytest.raises(ConfigInvalid, match="nothing to capture"):
        loader.load_alone(head)
    assert loader.load_alone(head + '[messages]\nprefixes = ["a"]').tables == ()


@pytest.mark.parametrize("name", ["a b", "", "ä", "x" * 101, "a.b"])
def test_a_service_name_that_no_topic_can_begin_with_is_refused(loader: Loader, name: str) -> None:
    environment = {"CDC_SIDECAR__SERVICE__NAME": f'"{name}"'}
    (mistake,) = loader.mistakes("", environment)
    assert mistake.startswith("service.name: must be 1 to 100 letters, digits")


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


def test_a_mistake_in_a_variable_is_reported_like_any_other(loader: Loader) -> None:
    environment = {"CDC_SIDECAR__PUBLISH__MAX_DELY": "5ms", "CDC_SIDECAR__LOG__LEVEL": "loud"}
    mistakes = loader.mistakes("", environment)
    assert "publish.max_dely: unknown key (did you mean max_delay?)" in mistakes
    assert len(mistakes) == 2


def test_a_variable_cannot_override_an_entry_of_a_list(loader: Loader) -> None:
    mistakes = loader.mistakes("", {"CDC_SIDECAR__TABLES__0__NAME": "a.b"})
    assert (
        "CDC_SIDECAR__TABLES__0__NAME: a variable cannot override an entry of the list tables"
        in mistakes
    )


# --- secrets


def test_secrets_are_read_from_files_and_variables_when_asked(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    monkeypatch.setenv("CDC_TEST_DSN", "host=db password=hunter3")
    text = _MINIMAL.replace('"host=db dbname=orders"', '{ env = "CDC_TEST_DSN" }').replace(
        "[kafka]", f"password = {{ file = '{secret}' }}\n[kafka]"
    )
    config = loader.load_alone(text)
    assert config.postgres.password is not None
    assert config.postgres.password.read() == "hunter2"
    assert config.postgres.dsn.read() == "host=db password=hunter3"
    secret.write_text("rotated\r\n")
    assert config.postgres.password.read() == "rotated"
    secret.unlink()
    with pytest.raises(SecretUnavailable, match="FileNotFoundError"):
        config.postgres.password.read()


def test_any_string_can_be_kept_in_a_file(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "brokers").write_text("kafka:9093\n")
    environment = {"CDC_SIDECAR__KAFKA__BOOTSTRAP_SERVERS": f"{{ file = '{tmp_path}/brokers' }}"}
    assert loader.load(environment=environment).kafka.bootstrap_servers == "kafka:9093"


def test_secrets_that_cannot_be_read_are_reported_at_start_as_mistakes(loader: Loader) -> None:
    mistakes = loader.mistakes(
        '[kafka.client]\n"sasl.password" = { file = "/nowhere/x" }\n'
        '[service.x]\n[http]\nlisten = { env = "CDC_TEST_NOWHERE" }',
        {"CDC_SIDECAR__POSTGRES__PASSWORD": '{ env = "CDC_TEST_NOWHERE" }'},
    )
    reported = "\n".join(mistakes)
    assert "kafka.client.sasl.password: file /nowhere/x: FileNotFoundError" in reported
    assert "postgres.password: environment variable CDC_TEST_NOWHERE is not set" in reported
    assert "http.listen: environment variable CDC_TEST_NOWHERE is not set" in reported


def test_no_secret_is_ever_printed(loader: Loader) -> None:
    config = loader.load_alone(
        _MINIMAL.replace("dbname=orders", "password=hunter2").replace(
            "[kafka]\n", 'password = "hunter2"\n[kafka]\n'
        )
        + '[kafka.client]\n"sasl.password" = "hunter2"\n'
    )
    for spelled in (repr(config), str(config), repr(config.postgres), repr(config.kafka.client)):
        assert "hunter2" not in spelled
    assert repr(Secret("file", "/run/x")) == "Secret(file='/run/x')"


def test_a_mistake_never_shows_the_value_that_was_written(loader: Loader) -> None:
    head = _MINIMAL.replace('dsn = "', 'dsn = 7\npassword = ["hunter2"]\nx = "')
    with pytest.raises(ConfigInvalid) as invalid:
        loader.load_alone(head + '[kafka.client]\n"sasl.password" = ["hunter2"]\n')
    assert "hunter2" not in str(invalid.value)
    assert "postgres.password: must be a string" in invalid.value.fact


@pytest.mark.parametrize(
    "written", [{}, {"file": 1}, {"file": "x", "env": "y"}, {"vault": "x"}, 5, None, ["x"]]
)
def test_a_value_that_is_neither_a_string_nor_a_reference_is_not_a_secret(written: object) -> None:
    assert not is_reference(written)
    with pytest.raises(ValueError, match="must be a string"):
        parse_secret(written)


# --- units


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("250us", 0.00025), ("2ms", 0.002), ("30s", 30), ("5m", 300), ("1.5h", 5400), ("1 d", 86400)],
)
def test_durations_are_written_with_their_unit(written: str, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "size"),
    [("1B", 1), ("512kB", 512_000), ("16MB", 16_000_000), ("2GB", 2 * 10**9), ("1KiB", 1024),
     ("1.5 MiB", 1_572_864), ("1GiB", 2**30)],
)  # fmt: skip
def test_sizes_are_written_with_their_unit(written: str, size: int) -> None:
    assert parse_size(written) == size


@given(
    st.one_of(st.integers(), st.floats(), st.none(), st.from_regex(r"[^0-9]{0,8}", fullmatch=True))
)
def test_a_value_without_a_number_and_a_unit_is_refused(written: object) -> None:
    for parse in (parse_duration, parse_size):
        with pytest.raises(ValueError, match="with a unit"):
            parse(written)


@given(st.text("0123456789 .smhdkMGBi", max_size=8))
def test_a_number_with_a_unit_is_read_or_refused_and_nothing_else(written: str) -> None:
    for parse in (parse_duration, parse_size):
        with suppress(ValueError):
            assert parse(written) >= 0

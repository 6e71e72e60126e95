"""Secrets are read from files and variables, and are never shown."""

from pathlib import Path

import pytest

from cdc_sidecar.config.secret import Secret, is_reference, parse_secret
from cdc_sidecar.errors import ConfigInvalid, SecretUnavailable
from tests.unit.config_file import MINIMAL, Loader


def test_secrets_are_read_from_files_and_variables_when_asked(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    monkeypatch.setenv("CDC_TEST_DSN", "host=db password=hunter3")
    text = MINIMAL.replace('"host=db dbname=orders"', '{ env = "CDC_TEST_DSN" }').replace(
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
        MINIMAL.replace("dbname=orders", "password=hunter2").replace(
            "[kafka]\n", 'password = "hunter2"\n[kafka]\n'
        )
        + '[kafka.client]\n"sasl.password" = "hunter2"\n'
    )
    for spelled in (repr(config), str(config), repr(config.postgres), repr(config.kafka.client)):
        assert "hunter2" not in spelled
    assert repr(Secret("file", "/run/x")) == "Secret(file='/run/x')"


def test_a_mistake_never_shows_the_value_that_was_written(loader: Loader) -> None:
    head = MINIMAL.replace('dsn = "', 'dsn = 7\npassword = ["hunter2"]\nx = "')
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

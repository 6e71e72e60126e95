"""The fingerprint of a configuration, by which replicas are compared."""

from cdc_sidecar.config.identity import config_fingerprint
from tests.unit.config_file import Loader


def test_replicas_at_different_addresses_have_the_same_fingerprint(loader: Loader) -> None:
    first = loader.load('[http]\nlisten = "127.0.0.1:9464"\n[snapshot]\nsocket = "/run/a.sock"')
    second = loader.load('[http]\nlisten = "127.0.0.1:9465"\n[snapshot]\nsocket = "/run/b.sock"')
    assert config_fingerprint(first) == config_fingerprint(second)


def test_any_other_difference_changes_the_fingerprint(loader: Loader) -> None:
    plain = config_fingerprint(loader.load())
    assert config_fingerprint(loader.load('[publish]\nsplit_after = "1m"')) != plain
    assert config_fingerprint(loader.load('[log]\nlevel = "debug"')) != plain

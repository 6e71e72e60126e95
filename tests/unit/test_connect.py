"""Errors of Postgres are classified by SQLSTATE: retried if they may pass, else halted on."""

import pytest

from cdc_sidecar.config.model import Postgres
from cdc_sidecar.config.secret import Secret
from cdc_sidecar.errors import (
    Disposition,
    PermissionMissing,
    PostgresRefused,
    PostgresUnavailable,
    PublicationMissing,
    SidecarError,
    SlotBusy,
    SlotLost,
    SlotMissing,
    SlotUnfit,
    WalLevelTooLow,
)
from cdc_sidecar.postgres.connect import PINNED, connection_string, dsn_words, translate


@pytest.mark.parametrize(
    ("sqlstate", "message", "error"),
    [
        ("55006", 'replication slot "s" is active for PID 7', SlotBusy),
        ("42704", 'replication slot "s" does not exist', SlotMissing),
        ("42704", 'publication "p" does not exist', PublicationMissing),
        ("55000", 'skipped loading publication "p"', PublicationMissing),
        ("55000", 'can no longer access replication slot "s"', SlotLost),
        ("58P01", "requested WAL segment 00 has already been removed", SlotLost),
        ("55000", 'logical decoding requires "wal_level" >= "logical"', WalLevelTooLow),
        ("55000", 'replication slot "s" was not created in this database', SlotUnfit),
        ("42501", "permission denied for table t", PermissionMissing),
        ("28P01", "password authentication failed", PostgresRefused),
        ("3D000", 'database "x" does not exist', PostgresRefused),
        (None, 'connection failed: FATAL: role "x" does not exist', PostgresRefused),
        (None, "connection failed: FATAL: the database system is starting up", PostgresUnavailable),
        (None, "connection refused", PostgresUnavailable),
        ("57P01", "terminating connection due to administrator command", PostgresUnavailable),
        ("53300", "too many clients already", PostgresUnavailable),
    ],
)
def test_each_sqlstate_has_its_error(
    sqlstate: str | None, message: str, error: type[SidecarError]
) -> None:
    translated = translate(sqlstate, message)
    assert type(translated) is error
    assert message in translated.fact
    may_pass = error in (SlotBusy, PostgresUnavailable)
    assert (translated.disposition is Disposition.RETRY) is may_pass


@pytest.mark.parametrize(
    ("sqlstate", "routine", "error"),
    [
        ("42704", "get_publication_oid", PublicationMissing),
        ("42704", "ReplicationSlotAcquire", SlotMissing),
        ("55000", "LoadPublications", PublicationMissing),
        ("58P01", "WalSndSegmentOpen", SlotLost),
        ("0A000", "CheckLogicalDecodingRequirements", PostgresUnavailable),
        ("42704", "find_option", PostgresRefused),
    ],
)
def test_an_error_with_several_meanings_is_told_apart_in_every_language(
    sqlstate: str, routine: str, error: type[SidecarError]
) -> None:
    assert type(translate(sqlstate, "Publikation »cdc« existiert nicht", routine)) is error


def test_every_connection_pins_the_settings_that_the_text_of_values_depends_on() -> None:
    config = Postgres(
        dsn=Secret("literal", "host=h dbname=d options='-c work_mem=4MB'"),
        slot="s",
        publication="p",
    )
    text = connection_string(config)
    assert all(f"-c {name}={value}" in text for name, value in PINNED.items())
    assert "work_mem=4MB" in text


def test_an_invalid_dsn_is_refused_without_being_shown() -> None:
    config = Postgres(dsn=Secret("literal", "canary secret"), slot="s", publication="p")
    with pytest.raises(PostgresRefused) as refused:
        dsn_words(config)
    assert "canary" not in str(refused.value)

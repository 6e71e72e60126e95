"""A configuration with mistakes is refused with one error that lists every mistake."""

import pytest

from cdc_sidecar.config.model import OWNED_CLIENT_SETTINGS
from cdc_sidecar.errors import ConfigInvalid
from tests.unit.config_file import MINIMAL, Loader


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
        ('[[outboxes]]\ntable = "a.b"\ntopic = "x y"', "outboxes[0]: topic may contain only"),
        ('[[outboxes]]\ntable = "a.b"\ntopic = "x.{payload}"', "columns other than the payload"),
        (
            (
                '[[outboxes]]\ntable = "a.b"\npayload = "avro"\npayload_as = "bytes"\n'
                'envelope = { a = "b" }'
            ),
            "passes framed Avro on, so envelope is unused",
        ),
        ('[[outboxes]]\ntable = "a.b"\nprune = "1h"\ndropped = true', "prune is not for"),
        ('[[outboxes]]\ntopic = "x"', "outboxes[0]: must have either table or prefix"),
        ('[[outboxes]]\ntable = "a.b"\nprefix = "x"', "must have either table or prefix"),
        ('[[outboxes]]\nprefix = "x"\nprune = "1h"', "prune is only for a table"),
        ('[[outboxes]]\nprefix = "cdc-sidecar.x"', "prefix must not begin with cdc-sidecar."),
        ('[[outboxes]]\ntable = "a.b"\npayload = "avro"', "needs the schema of each event type"),
        ('[[outboxes]]\ntable = "a.b"\nheaders = { id = "x" }', "header id is sent already"),
        (
            '[[outboxes]]\ntable = "a.b"\npayload = "raw"\nenvelope = { a = "b" }',
            'envelope needs payload = "framed" or "avro"',
        ),
        (
            '[[outboxes]]\ntable = "a.b"\nenvelope = { payload = "b" }',
            "must not have a field named payload",
        ),
        (
            '[[outboxes]]\ntable = "a.b"\ncolumns = { version = "v" }',
            "columns.version chooses a schema",
        ),
        (
            '[[outboxes]]\ntable = "a.b"\npayload = "avro"\n[outboxes.events.A]\nschema = "x.avsc"',
            "outboxes[0].events.A.schema: ",
        ),
        (
            '[[outboxes]]\nprefix = "x"\n[messages]\nprefixes = ["x"]',
            "x is configured more than once",
        ),
        (
            '[[tables]]\nname = "a.b"\ncolumns = ["*"]\non_error = "skip"',
            "on_error: must be 'halt' or 'park'",
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
        ('[http]\ntls_key = "k"', "http: tls_certificate and tls_key belong together"),
        ('[http]\npassword = "p"', "http: username and password belong together"),
    ],
)
def test_a_value_that_makes_no_sense_is_reported(loader: Loader, text: str, mistake: str) -> None:
    (reported,) = loader.mistakes(text)
    assert mistake in reported


def test_a_file_with_nothing_to_capture_is_refused(loader: Loader) -> None:
    head = MINIMAL.partition("[[tables]]")[0]
    with pytest.raises(ConfigInvalid, match="nothing to capture"):
        loader.load_alone(head)
    assert loader.load_alone(head + '[messages]\nprefixes = ["a"]').tables == ()


@pytest.mark.parametrize("name", ["a b", "", "ä", "x" * 101, "a.b"])
def test_a_service_name_that_no_topic_can_begin_with_is_refused(loader: Loader, name: str) -> None:
    environment = {"CDC_SIDECAR__SERVICE__NAME": f'"{name}"'}
    (mistake,) = loader.mistakes("", environment)
    assert mistake.startswith("service.name: must be 1 to 100 letters, digits")


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

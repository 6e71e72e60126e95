"""What is no schema of a payload is refused with the reason, before any event."""

import pytest

from cdc_sidecar.events.payload.plan import SchemaMistaken, compile_payload


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ('"string"', "not a record"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "Missing"}]}',
            "Missing",
        ),
        ('{"type": "record", "name": "1", "fields": []}', "not a valid Avro name"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": ["int", "int"]}]}',
            "already in Union",
        ),
        (
            '{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":""}]}',
            "int",
        ),
        ('{"type": "record", "name": "R"}', "fields"),
        (
            (
                '{"type": "record", "name": "R", "fields": [{"name": "a", "type": {'
                '"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 5}}]}'
            ),
            "scale must be less",
        ),
    ],
)
def test_a_text_that_is_no_schema_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SchemaMistaken, match=reason):
        compile_payload(text)

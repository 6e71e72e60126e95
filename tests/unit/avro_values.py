"""What fastavro reads from the bytes that an operation wrote."""

import io
from typing import Any

import fastavro
from hypothesis import strategies as st

INT64 = st.integers(-(2**63), 2**63 - 1)


def read_value(schema: str | dict[str, Any], written: bytes) -> Any:  # noqa: ANN401 - what fastavro says
    """Return the one value that fastavro reads from these bytes."""
    stream = io.BytesIO(written)
    value = fastavro.schemaless_reader(stream, fastavro.parse_schema(schema), None)
    assert not stream.read()
    return value


def logical_type(kind: str, logical: str, **more: object) -> dict[str, Any]:
    """Return a schema with a logical type."""
    return {"type": kind, "logicalType": logical, **more}

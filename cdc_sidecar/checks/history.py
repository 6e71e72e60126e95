"""Checks the captured tables against what the schemas topic says of their earlier events."""

from collections.abc import Sequence

from cdc_sidecar.checks.gaps import check_gaps
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.events.registry.log import SchemaLog
from cdc_sidecar.postgres.catalog import PublishedTable


def check_history(tables: Sequence[PublishedTable], capture: Capture, schemas: SchemaLog) -> None:
    """Check that no change was left out, and that each key is that of the earlier events.

    Raises:
        ChangesLeftOut: changes of a table may be missing.
        LayoutRefused: a primary key was re-created.

    """
    check_gaps(tables, schemas.tables)
    for table in tables:
        capture.check_keys({table.relation: table.facts}, schemas.layouts)
        earlier = schemas.tables.get(table.relation.oid)
        if earlier:
            capture.check_key(table.relation, table.facts, earlier.key)

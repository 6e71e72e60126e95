"""The cure of a partition is a statement that Postgres accepts, whatever the partition's name."""

import pytest

from cdc_sidecar.checks.partitions import check_leaves
from cdc_sidecar.errors import TablesRefused
from cdc_sidecar.events.capture import Capture
from cdc_sidecar.postgres.catalog import PublishedTable
from cdc_sidecar.postgres.partitions import Leaf
from cdc_sidecar.postgres.pgoutput import ReplicaIdentity
from cdc_sidecar.postgres.types import Membership
from tests.unit import shop
from tests.unit.shop import ORDERS

_ROOT = PublishedTable(
    ORDERS.relation,
    ORDERS.facts,
    (0,) * 4,
    may_select=True,
    membership=Membership("cdc", "1/2", ("table 3",), "", {}),
)
_CAPTURE = Capture("shop", (shop.table(),), (), ())


@pytest.mark.parametrize(
    ("logged", "cure"),
    [
        (True, 'ALTER TABLE public."Orders 2024" REPLICA IDENTITY DEFAULT'),
        (False, 'ALTER TABLE public."Orders 2024" SET LOGGED'),
    ],
)
def test_a_name_that_needs_quotes_has_them(*, logged: bool, cure: str) -> None:
    leaf = Leaf(ORDERS.oid, "public.Orders 2024", ReplicaIdentity.NOTHING, frozenset(), logged)
    with pytest.raises(TablesRefused) as refused:
        check_leaves([leaf], [_ROOT], _CAPTURE)
    assert cure in refused.value.fact


def test_a_leaf_that_logs_the_key_is_accepted() -> None:
    leaf = Leaf(ORDERS.oid, "public.leaf", ReplicaIdentity.DEFAULT, frozenset({"id"}), logged=True)
    check_leaves([leaf], [_ROOT], _CAPTURE)

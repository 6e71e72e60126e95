"""Creates ACLs on a real broker."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.waiting import await_true

_TIMEOUT: Final = 30.0  # seconds
_ANY: Final = AclBindingFilter(
    ResourceType.ANY,
    None,  # type: ignore[arg-type] # the annotations know no filter without a name
    ResourcePatternType.ANY,
    None,  # type: ignore[arg-type] # likewise
    None,  # type: ignore[arg-type]
    AclOperation.ANY,
    AclPermissionType.ANY,
)


def create_acls(admin: AdminClient, acls: Iterable[AclBinding]) -> None:
    """Create ACLs, and wait until the broker has taken them over from the controller."""
    wanted = set(acls)
    for answer in admin.create_acls(list(wanted)).values():
        answer.result(_TIMEOUT)
    await_true(lambda: wanted <= set(admin.describe_acls(_ANY).result(_TIMEOUT)), what="the ACLs")

"""Management locks, which keep temporary access from being revoked.

::

    for lock in await read_locks(session, vault_id):
        print(lock)

A ``CanNotDelete`` lock lets a role assignment be made and not be deleted; a ``ReadOnly`` lock also forbids every change
of the vault. A lock applies to everything below its scope.

Facts: Microsoft.Authorization/locks REST API 2016-09-01; Microsoft Learn, "Lock your resources to protect your
infrastructure". UNVERIFIED: whether a list shows the locks above its scope, so each scope above is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pratique.azure.faults import azure_faults
from pratique.azure.lists import every_page
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import UnreadableAnswer

if TYPE_CHECKING:
    from azure.mgmt.resource.locks.v2016_09_01 import models

_PROVIDER = "/providers/microsoft.authorization/locks/"


@dataclass(frozen=True)
class ManagementLock:
    """A lock.

    :ivar id: ARM resource id
    :ivar level: ``CanNotDelete`` or ``ReadOnly``
    """

    id: str
    level: str

    @property
    def scope(self) -> str:
        """Id of what is locked: a subscription, a resource group or a resource."""
        return self.id[: self.id.lower().rfind(_PROVIDER)]

    @property
    def only_keeps(self) -> bool:
        """Whether it forbids deletions and nothing else; a level that is newer than this code forbids everything."""
        return self.level.lower() == "cannotdelete"

    def __str__(self) -> str:
        return f"{self.level} lock {self.id.rpartition('/')[2]} on {self.scope}"


async def read_locks(session: AzureSession, scope: str) -> tuple[ManagementLock, ...]:
    """Read the locks that apply to a resource or to a resource group: its own and those above it.

    :param scope: ARM id of the resource or of the group
    :raises PermissionDenied: without Microsoft.Authorization/locks/read at the scope, its group or its subscription
    """
    locks = session.locks.management_locks
    subscription, group = "/".join(scope.split("/")[:3]), "/".join(scope.split("/")[:5])
    lists = [
        _read(locks.list_at_subscription_level, subscription),
        _read(partial(locks.list_at_resource_group_level, group.rpartition("/")[2]), group),
    ]
    if scope != group:
        at = ResourceId.parse(scope)
        namespace, _, kind = at.type.partition("/")
        lists.append(_read(partial(locks.list_at_resource_level, at.group, namespace, "", kind, at.name), scope))
    found = {lock.id.lower(): lock for locks_there in await asyncio.gather(*lists) for lock in locks_there}
    return tuple(lock for lock in found.values() if _is_at_or_above(lock.scope, scope))


async def _read(
    list_locks: Callable[..., AsyncIterable[models.ManagementLockObject]], scope: str
) -> list[ManagementLock]:
    attempted = "read the management locks"
    with azure_faults(attempted, scope):
        pages = list_locks(raw_response_hook=every_page(attempted, scope))
        locks = [lock async for lock in pages]
    if not all(lock.id for lock in locks):
        raise UnreadableAnswer(attempted, scope, "A lock has no id.", "Run again.")
    return [ManagementLock(str(lock.id), enum_value(lock.level)) for lock in locks]


def _is_at_or_above(locked: str, scope: str) -> bool:
    locked, scope = locked.lower(), scope.lower()
    return scope == locked or scope.startswith(f"{locked}/")

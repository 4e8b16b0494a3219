"""The actions that the identity holds, as ARM reports them (Microsoft.Authorization/permissions, 2022-04-01)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from pratique.azure.faults import azure_faults
from pratique.azure.lists import every_page
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied


async def require_actions(session: AzureSession, group: str, wanted: Collection[str]) -> None:
    """Check that the identity holds actions on a resource group.

    :param group: name of a group of the session's subscription, or ARM id of any group

    Each entry that ARM lists comes from one role. An action counts when a role grants it and the same role does not
    exclude it.

    :raises PermissionDenied: with the missing actions
    """
    attempted = "read the identity's permissions"
    if group.startswith("/"):
        _, _, subscription, _, group = group.split("/")
        session = session.in_subscription(subscription)
    with azure_faults(attempted, group):
        pages = session.authorization.permissions.list_for_resource_group(
            group, raw_response_hook=every_page(attempted, group)
        )
        granted = [(list(permission.actions or ()), list(permission.not_actions or ())) async for permission in pages]
    missing = [action for action in wanted if not any(_grants(action, *entry) for entry in granted)]
    if missing:
        raise PermissionDenied(
            "use the resource group",
            group,
            f"The identity lacks {', '.join(missing)}.",
            "Ask for a role with these actions on the resource group; a new role takes up to ten minutes to work.",
        )


async def missing_rights(
    session: AzureSession, resource_id: str, actions: Collection[str], data_actions: Collection[str]
) -> list[str]:
    """The rights that none of the identity's roles on a resource grants, whatever conditions these roles are under."""
    attempted, at = "read the identity's permissions", ResourceId.parse(resource_id)
    namespace, _, kind = at.type.partition("/")
    session = session.in_subscription(at.subscription)
    with azure_faults(attempted, resource_id):
        pages = session.authorization.permissions.list_for_resource(
            at.group, namespace, "", kind, at.name, raw_response_hook=every_page(attempted, resource_id)
        )
        held = [permission async for permission in pages]
    granted = [(list(role.actions or ()), list(role.not_actions or ())) for role in held]
    granted_data = [(list(role.data_actions or ()), list(role.not_data_actions or ())) for role in held]
    return [
        *(action for action in actions if not any(_grants(action, *entry) for entry in granted)),
        *(action for action in data_actions if not any(_grants(action, *entry) for entry in granted_data)),
    ]


def _grants(action: str, actions: Iterable[str], not_actions: Iterable[str]) -> bool:
    return any(_matches(p, action) for p in actions) and not any(_matches(p, action) for p in not_actions)


def _matches(pattern: str, action: str) -> bool:
    """Whether a role's action pattern covers the action: ``*`` matches any text, and letter case is ignored."""
    return re.fullmatch(".*".join(map(re.escape, pattern.lower().split("*"))), action.lower()) is not None

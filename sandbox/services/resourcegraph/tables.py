"""The tables of Resource Graph, limited to the rows that the caller may read.

Rows are ARM documents with ARG's columns: types and resource groups are lower-case, missing strings are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sandbox.azure import Azure
from sandbox.core.rbac import Principal, RoleAssignment, contains
from sandbox.services.defender.state import Defender
from sandbox.services.resourcegraph.lag import LateResources

Row = dict[str, Any]
Tables = dict[str, list[Row]]

TEXT_COLUMNS = (
    "id",
    "name",
    "type",
    "tenantId",
    "kind",
    "location",
    "resourceGroup",
    "subscriptionId",
    "managedBy",
)
DYNAMIC_COLUMNS = ("sku", "plan", "properties", "tags", "identity", "zones", "extendedLocation")

_GROUP_TYPE = "microsoft.resources/resourcegroups"
_ELSEWHERE = ("microsoft.resources/", "microsoft.authorization/", "microsoft.insights/diagnosticsettings")


def readable_tables(azure: Azure, principal: Principal, requested: Iterable[str] | None) -> Tables:
    """All tables, with the rows that the principal may read.

    :param requested: subscriptions whose rows count; ``None`` for every row of the tenant, also those that belong to
        no subscription
    """
    scopes = None if requested is None else [f"/subscriptions/{subscription}" for subscription in requested]
    may_read = _reader(azure, principal, scopes)
    whole_tenant = requested is None
    documents, defender = azure.state(LateResources).list(), azure.state(Defender)
    sources: dict[str, Iterable[Row]] = {
        "resources": (_arm_row(azure, d) for d in documents if _is_tracked(d["type"])),
        "resourcecontainers": _containers(azure, documents),
        "securityresources": chain(defender.rows(), defender.tenant_rows() if whole_tenant else ()),
        "authorizationresources": (_assignment_row(azure, found) for found in azure.access.assignments()),
    }
    return {name: [row for row in rows if may_read(row["type"], row["id"])] for name, rows in sources.items()}


def readable_subscriptions(azure: Azure, principal: Principal, requested: Iterable[str] | None) -> list[str]:
    """The requested subscriptions in which the principal may read anything.

    :param requested: ``None`` for every subscription of the tenant
    """
    wanted = None if requested is None else {subscription.lower() for subscription in requested}
    reads = ("Microsoft.Resources/subscriptions/read", "Microsoft.Resources/subscriptions/resourceGroups/read")

    def readable(scope: str) -> bool:
        places = [scope, *(document["id"] for document in azure.resources.list(_GROUP_TYPE, scope))]
        return any(azure.access.allowed(principal.object_id, read, at) for at in places for read in reads)

    return [
        subscription
        for subscription in azure.subscription_ids
        if (wanted is None or subscription in wanted) and readable(f"/subscriptions/{subscription}")
    ]


def _reader(azure: Azure, principal: Principal, scopes: Sequence[str] | None) -> Callable[[str, str], bool]:
    """A predicate for rows; extension resources are readable if the resource that they extend is.

    :param scopes: subscriptions outside of which no row counts
    """

    @cache
    def allowed(action: str, scope: str) -> bool:
        return azure.access.allowed(principal.object_id, action, scope)

    def may_read(resource_type: str, resource_id: str) -> bool:
        if scopes is not None and not any(contains(scope, resource_id) for scope in scopes):
            return False
        extended = resource_id if resource_id.count("/providers/") < 2 else resource_id.rsplit("/providers/", 1)[0]
        return allowed(f"{resource_type}/read", extended)

    return may_read


def _is_tracked(resource_type: str) -> bool:
    lowered = resource_type.lower()
    return lowered.count("/") == 1 and not lowered.startswith(_ELSEWHERE)


def _containers(azure: Azure, documents: Iterable[Row]) -> Iterator[Row]:
    for name in azure.subscription_ids:
        subscription = {"id": f"/subscriptions/{name}", "name": name, "type": "microsoft.resources/subscriptions"}
        yield _arm_row(azure, {**subscription, "properties": {"state": "Enabled"}})
    for document in documents:
        if document["type"].lower() == _GROUP_TYPE:
            yield {**_arm_row(azure, document), "type": "microsoft.resources/subscriptions/resourcegroups"}


def _arm_row(azure: Azure, document: Row) -> Row:
    parts = document["id"].split("/")
    group = parts[4] if len(parts) > 4 and parts[3].lower() == "resourcegroups" else ""
    own = {key: document[key] for key in (*TEXT_COLUMNS, *DYNAMIC_COLUMNS) if key in document}
    return {
        **own,
        "type": document["type"].lower(),
        "tenantId": azure.tenant_id,
        "resourceGroup": group.lower(),
        "subscriptionId": parts[2],
    }


def _assignment_row(azure: Azure, assignment: RoleAssignment) -> Row:
    parts = assignment.scope.split("/")
    subscription = parts[2] if len(parts) > 2 else azure.subscription_id
    role = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions"
    properties = {
        "roleDefinitionId": f"{role}/{assignment.role_guid}",
        "principalId": assignment.principal_id,
        "principalType": assignment.principal_type,
        "scope": assignment.scope,
        "createdOn": assignment.created_on.isoformat(),
        "description": assignment.description,
    }
    type_ = "microsoft.authorization/roleassignments"
    return _arm_row(azure, {"id": assignment.id, "name": assignment.name, "type": type_, "properties": properties})

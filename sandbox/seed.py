"""The tenant after the walkthrough's earlier pages: the network exists, the cluster's resource group is empty."""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.azure import Azure
from sandbox.core.rbac import Principal
from sandbox.roles import BUILT_IN
from sandbox.scenario import Identity, User
from sandbox.services import open_states
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.services.acr.regions import ENDPOINTS, REPLICATION_TYPE
from sandbox.services.blobs.store import ACCOUNT_TYPE, SUFFIX, Accounts
from sandbox.services.loganalytics.state import DIAGNOSTICS_TYPE, WORKSPACE_TYPE
from sandbox.subscriptions import SharedRegistry
from sandbox.tenant import (
    CLUSTER_GROUP,
    HUB_GROUP,
    LOCATION,
    PRIVATE_DNS_ZONES,
    SPOKE_GROUP,
    SUBNETS,
    group_id,
    spoke_network_id,
)


def seed(azure: Azure) -> None:
    """Fill a new state."""
    _directory(azure)
    _network(azure)
    open_states(azure)
    _storage(azure)
    _shared(azure)


def _directory(azure: Azure) -> None:
    identity = azure.scenario.identity
    azure.access.roles.update({role.guid: role for role in BUILT_IN})
    pipeline = Principal(identity.object_id, "ServicePrincipal", "sp-pratique-pipeline", identity.client_id)
    _grant(azure, azure.access.add_principal(pipeline), identity)
    for user in azure.scenario.users:
        _grant(azure, azure.access.add_principal(Principal(user.object_id, "User", user.name)), user)


def _grant(azure: Azure, principal: Principal, holder: Identity | User) -> None:
    grants = [
        *((role, group_id(azure, CLUSTER_GROUP)) for role in holder.roles),
        *((role, group_id(azure, group)) for role in holder.network_roles for group in (SPOKE_GROUP, HUB_GROUP)),
        *((role, f"/subscriptions/{azure.subscription_id}") for role in holder.subscription_roles),
        *((role, "/") for role in holder.tenant_roles),
    ]
    for role, scope in grants:
        azure.access.assign(role=role, principal_id=principal.object_id, scope=scope, at_once=True)


def _network(azure: Azure) -> None:
    for group in (HUB_GROUP, SPOKE_GROUP, CLUSTER_GROUP):
        _put(azure, group_id(azure, group), "Microsoft.Resources/resourceGroups", {})
    network = spoke_network_id(azure)
    spoke = group_id(azure, SPOKE_GROUP)
    subnets = [
        {
            "id": f"{network}/subnets/{name}",
            "name": name,
            "properties": {"addressPrefix": prefix, "provisioningState": "Succeeded"},
        }
        for name, prefix in SUBNETS.items()
    ]
    properties = {"addressSpace": {"addressPrefixes": ["10.240.0.0/16"]}, "subnets": subnets}
    _put(azure, network, "Microsoft.Network/virtualNetworks", properties)
    for subnet in subnets:
        azure.resources.put({**subnet, "type": "Microsoft.Network/virtualNetworks/subnets"})
    for zone in PRIVATE_DNS_ZONES:
        _put(
            azure,
            f"{spoke}/providers/Microsoft.Network/privateDnsZones/{zone}",
            "Microsoft.Network/privateDnsZones",
            {},
        )


def _shared(azure: Azure) -> None:
    """The other subscriptions: groups, and registries whose log goes to a workspace beside them."""
    who = azure.scenario.identity.object_id
    for subscription in azure.scenario.subscriptions:
        root = f"/subscriptions/{subscription.id}"
        grants = [(role, root) for role in subscription.roles]
        for group in subscription.groups:
            scope = f"{root}/resourceGroups/{group.name}"
            _put(azure, scope, "Microsoft.Resources/resourceGroups", {})
            grants += [(role, scope) for role in group.roles]
            for registry in group.registries:
                _shared_registry(azure, scope, registry)
        for role, scope in grants:
            azure.access.assign(role=role, principal_id=who, scope=scope, at_once=True)


def _shared_registry(azure: Azure, group: str, registry: SharedRegistry) -> None:
    registry_id = f"{group}/providers/{REGISTRY_TYPE}/{registry.name}"
    workspace_id = f"{group}/providers/{WORKSPACE_TYPE}/la-{registry.name}"
    customer_id = str(uuid.uuid5(uuid.NAMESPACE_URL, workspace_id))
    _put(azure, workspace_id, WORKSPACE_TYPE, {"customerId": customer_id, "retentionInDays": 90})
    settings = {
        "publicNetworkAccess": "Disabled",
        "networkRuleBypassOptions": "AzureServices" if registry.trusts_azure else "None",
        "policies": {"exportPolicy": {"status": "enabled" if registry.exports else "disabled"}},
    }
    if registry.regional_endpoints:
        settings[ENDPOINTS] = "Enabled"
    _put(azure, registry_id, REGISTRY_TYPE, settings)
    for region in registry.replicas:
        replica = {"regionEndpointEnabled": True, "zoneRedundancy": "Disabled", "status": {"displayStatus": "Ready"}}
        _put(azure, f"{registry_id}/replications/{region}", REPLICATION_TYPE, replica, location=region)
    logs = [
        {"category": category, "enabled": True}
        for category in ("ContainerRegistryRepositoryEvents", "ContainerRegistryLoginEvents")
    ]
    azure.resources.put(
        {
            "id": f"{registry_id}/providers/{DIAGNOSTICS_TYPE}/default",
            "name": "default",
            "type": DIAGNOSTICS_TYPE,
            "properties": {"workspaceId": workspace_id, "logs": logs},
        }
    )


def _storage(azure: Azure) -> None:
    accounts = azure.state(Accounts)
    for declared in azure.scenario.storage_accounts:
        account_id = f"{group_id(azure, HUB_GROUP)}/providers/{ACCOUNT_TYPE}/{declared.name}"
        endpoints = {"blob": f"https://{declared.name}{SUFFIX}/"}
        _put(
            azure,
            account_id,
            ACCOUNT_TYPE,
            {"primaryEndpoints": endpoints, "allowSharedKeyAccess": declared.key is not None},
        )
        if declared.key is not None:
            accounts.keys[declared.name] = declared.key
        for container in declared.containers:
            accounts.account(declared.name).create(container, {})
        for role in declared.roles:
            who = azure.scenario.identity.object_id
            azure.access.assign(role=role, principal_id=who, scope=account_id, at_once=True)


def _put(
    azure: Azure, resource_id: str, resource_type: str, properties: dict[str, Any], *, location: str = LOCATION
) -> None:
    azure.resources.put(
        {
            "id": resource_id,
            "name": resource_id.rsplit("/", 1)[-1],
            "type": resource_type,
            "location": location,
            "tags": {},
            "properties": {"provisioningState": "Succeeded", **properties},
        }
    )

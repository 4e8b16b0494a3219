"""The resource types that templates may use, and what is specific to each.

Source: the REST specifications of the resource types. Durations add up to the eight minutes of the walkthrough along
the longest chain: registry, its private endpoint, its DNS zone group.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import datetime

from sandbox.services.acr.models import DEFAULTS, REGISTRY_TYPE
from sandbox.services.acr.regions import ENDPOINTS, REPLICATION_TYPE
from sandbox.services.deployments.errors import TemplateError, unsupported
from sandbox.services.deployments.provider import APPROVED, Document, Kind, Order, targets
from sandbox.services.keyvault.vaults import put_vault

CRITICAL_PATH = 480.0  # Azure seconds of the longest chain in the cluster's infrastructure
ROLE_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
SECRET = "Microsoft.KeyVault/vaults/secrets"  # noqa: S105 - a type of resource
ACTION_GROUP = "Microsoft.Insights/actionGroups"
PRIVATE_ENDPOINT = "Microsoft.Network/privateEndpoints"


def kind_of(resource_type: str) -> Kind:
    """:raises TemplateError: 501 for a type that the sandbox does not support"""
    kind = KINDS.get(resource_type.lower())
    if kind is None:
        raise unsupported(
            f"resources of type '{resource_type}' (supported: {', '.join(k.type for k in KINDS.values())})"
        )
    return kind


def _workspace(order: Order) -> Document:
    return {"customerId": str(uuid.uuid4()), "createdDate": _stamp(order.at), "modifiedDate": _stamp(order.at)}


def _registry(order: Order) -> Document:
    if not re.fullmatch(r"[A-Za-z0-9]{5,50}", order.name):
        raise TemplateError("A registry's name has 5 to 50 letters and digits, nothing else.", "InvalidResourceName")
    premium = order.body.get("sku", {}).get("name") == "Premium"
    if not premium and order.properties.get("publicNetworkAccess") == "Disabled":
        raise TemplateError("Only a Premium registry can disable public network access.", "FeatureNotSupported")
    trust = order.properties.get("policies", {}).get("trustPolicy", {})
    if trust.get("status") == "enabled" and order.before is None:
        raise TemplateError(
            "Docker Content Trust cannot be enabled on new registries since 31 May 2026.", "FeatureNotSupported"
        )
    host = order.name.lower()
    data = [f"{host}.{order.location}.data.azurecr.io"] if order.properties.get("dataEndpointEnabled") else []
    return {
        "loginServer": f"{host}.azurecr.io",
        "creationDate": _stamp(order.at),
        "dataEndpointHostNames": data,
        "privateEndpointConnections": [],
        **_kept(order, ENDPOINTS),
    }


def _kept(order: Order, name: str) -> Document:
    """A property that a template keeps as it is by leaving it out."""
    before = (order.before or {}).get("properties", {})
    return {name: before[name]} if name in before and name not in order.properties else {}


def _vault(order: Order) -> Document:
    document = put_vault(
        order.id,
        order.body,
        order.before,
        tenant_id=order.place.tenant_id,
        api_version=order.api_version,
        now=order.at,
    )
    return {**document, "properties": {**document["properties"], "provisioningState": "Succeeded"}}


def _secret(order: Order) -> Document:
    vault, name = order.name.split("/")
    seconds = int(order.at.timestamp())
    attributes = {"enabled": True, **order.properties.get("attributes", {}), "created": seconds, "updated": seconds}
    return {"attributes": attributes, "secretUri": f"https://{vault}.vault.azure.net/secrets/{name}"}


def _identity(order: Order) -> Document:
    return {
        "tenantId": order.place.tenant_id,
        "principalId": str(uuid.uuid4()),
        "clientId": str(uuid.uuid4()),
    }


def _endpoint(order: Order) -> Document:
    connections = [
        {
            **connection,
            "id": f"{order.id}/privateLinkServiceConnections/{connection['name']}",
            "properties": {
                **connection["properties"],
                "privateLinkServiceConnectionState": APPROVED,
                "provisioningState": "Succeeded",
            },
        }
        for connection in order.properties.get("privateLinkServiceConnections", [])
    ]
    return {"privateLinkServiceConnections": connections}


def _endpoint_links(properties: Document) -> Iterator[tuple[str, str]]:
    yield properties["subnet"]["id"], "Microsoft.Network/virtualNetworks/subnets/join/action"
    for target in targets({"properties": properties}):
        provider = "/".join(target.rpartition("/providers/")[2].split("/")[:2])
        yield target, f"{provider}/privateEndpointConnectionsApproval/action"


def _zone_links(properties: Document) -> Iterator[tuple[str, str]]:
    for zone in properties.get("privateDnsZoneConfigs", []):
        yield zone["properties"]["privateDnsZoneId"], "Microsoft.Network/privateDnsZones/join/action"


def _diagnostic_links(properties: Document) -> Iterator[tuple[str, str]]:
    if workspace := properties.get("workspaceId"):
        yield workspace, "Microsoft.OperationalInsights/workspaces/sharedKeys/action"


def _alert_links(properties: Document) -> Iterator[tuple[str, str]]:
    for scope in properties.get("scopes", []):
        provider = "/".join(scope.rpartition("/providers/")[2].split("/")[:2])
        yield scope, f"{provider}/read"


def _action_group(order: Order) -> Document:
    short = order.properties.get("groupShortName")
    if not isinstance(short, str) or not 1 <= len(short) <= 12:
        raise TemplateError("groupShortName must have 1 to 12 characters.", "InvalidActionGroupShortName")
    return {}


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


KINDS: dict[str, Kind] = {
    kind.type.lower(): kind
    for kind in (
        Kind(
            type="Microsoft.OperationalInsights/workspaces",
            seconds=60,
            defaults={"sku": {"name": "pergb2018"}, "retentionInDays": 30, "workspaceCapping": {"dailyQuotaGb": -1.0}},
            computed=_workspace,
            preserved=("customerId", "createdDate"),
        ),
        Kind(
            type=REGISTRY_TYPE,
            seconds=180,
            defaults=DEFAULTS,
            computed=_registry,
            preserved=("creationDate", "privateEndpointConnections"),
        ),
        Kind(
            type=REPLICATION_TYPE,
            seconds=150,
            defaults={
                "regionEndpointEnabled": True,
                "zoneRedundancy": "Disabled",
                "status": {"displayStatus": "Ready"},
            },
        ),
        Kind(type="Microsoft.KeyVault/vaults", seconds=60, builder=_vault),
        Kind(type=SECRET, seconds=10, computed=_secret, hidden=("value",), stateful=False),
        Kind(type=IDENTITY, seconds=20, computed=_identity, preserved=("principalId", "clientId"), stateful=False),
        Kind(
            type=PRIVATE_ENDPOINT,
            seconds=210,
            defaults={"customDnsConfigs": []},
            computed=_endpoint,
            links=_endpoint_links,
        ),
        Kind(type="Microsoft.Network/privateEndpoints/privateDnsZoneGroups", seconds=90, links=_zone_links),
        Kind(type=ACTION_GROUP, seconds=10, defaults={"enabled": True}, computed=_action_group, stateful=False),
        Kind(
            type="Microsoft.Insights/diagnosticSettings",
            seconds=15,
            defaults={"logs": [], "metrics": []},
            links=_diagnostic_links,
            stateful=False,
        ),
        Kind(
            type="Microsoft.Insights/scheduledQueryRules",
            seconds=20,
            defaults={"autoMitigate": True, "enabled": True, "isLegacyLogAnalyticsRule": False},
            links=_alert_links,
            stateful=False,
        ),
        Kind(type=ROLE_ASSIGNMENT, seconds=10),
    )
}

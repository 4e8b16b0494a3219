"""The resource providers of the subscription, all registered, with the types that the sandbox can hold."""

from __future__ import annotations

from typing import Any

#: namespace: {type: newest api-version}
PROVIDERS: dict[str, dict[str, str]] = {
    "Microsoft.AlertsManagement": {"alerts": "2019-05-05-preview"},
    "Microsoft.Authorization": {
        "locks": "2016-09-01",
        "roleAssignments": "2022-04-01",
        "roleDefinitions": "2022-04-01",
    },
    "Microsoft.ContainerRegistry": {
        "registries": "2025-11-01",
        "registries/agentPools": "2019-06-01-preview",
        "registries/replications": "2025-11-01",
    },
    "Microsoft.Insights": {
        "actionGroups": "2023-01-01",
        "diagnosticSettings": "2021-05-01-preview",
        "scheduledQueryRules": "2022-06-15",
    },
    "Microsoft.KeyVault": {"vaults": "2026-05-15", "vaults/secrets": "2026-05-15"},
    "Microsoft.ManagedIdentity": {"userAssignedIdentities": "2024-11-30"},
    "Microsoft.Network": {
        "privateDnsZones": "2024-06-01",
        "privateEndpoints": "2025-01-01",
        "privateEndpoints/privateDnsZoneGroups": "2025-01-01",
        "virtualNetworks": "2025-01-01",
        "virtualNetworks/subnets": "2025-01-01",
    },
    "Microsoft.OperationalInsights": {"workspaces": "2025-02-01"},
    "Microsoft.Resources": {"deployments": "2026-06-01", "resourceGroups": "2025-04-01"},
    "Microsoft.Storage": {"storageAccounts": "2025-06-01"},
    "Microsoft.Security": {"assessments": "2021-06-01", "pricings": "2024-01-01"},
}


def provider_document(subscription_id: str, namespace: str) -> dict[str, Any] | None:
    """A provider as ARM shows it; ``None`` for an unknown namespace."""
    name = next((namespace_name for namespace_name in PROVIDERS if namespace_name.lower() == namespace.lower()), None)
    if name is None:
        return None
    return {
        "id": f"/subscriptions/{subscription_id}/providers/{name}",
        "namespace": name,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": "Registered",
        "resourceTypes": [
            {"resourceType": kind, "locations": [], "apiVersions": [version], "capabilities": "None"}
            for kind, version in PROVIDERS[name].items()
        ],
    }


def holds(resource_type: str) -> bool:
    """Whether the sandbox can hold resources of a type. For such a type, 404 is the right answer."""
    namespace, _, kind = resource_type.lower().partition("/")
    return any(
        namespace_name.lower() == namespace and kind in (name.lower() for name in kinds)
        for namespace_name, kinds in PROVIDERS.items()
    )

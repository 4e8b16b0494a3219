"""Container registries as ARM shows them, and the events in their diagnostic log.

Property names and defaults: Microsoft.ContainerRegistry/registries, 2025-11-01; columns: tables
ContainerRegistryRepositoryEvents and ContainerRegistryLoginEvents of Log Analytics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.core.resources import Document

REGISTRY_TYPE = "Microsoft.ContainerRegistry/registries"
LOGIN_SUFFIX = ".azurecr.io"

#: Values of ``roleAssignmentMode``; versions of the API before :data:`MODE_SINCE` do not have the property.
LEGACY, ABAC = "LegacyRegistryPermissions", "AbacRepositoryPermissions"
MODE, MODE_SINCE = "roleAssignmentMode", "2025-05-01"

_ENABLED = {"status": "enabled"}
_DISABLED = {"status": "disabled"}
#: What ARM shows for a registry created without any properties, besides its kind of permissions.
DEFAULTS: Document = {
    "provisioningState": "Succeeded",
    "adminUserEnabled": False,
    "networkRuleSet": {"defaultAction": "Allow", "ipRules": []},
    "policies": {
        "quarantinePolicy": _DISABLED,
        "trustPolicy": {"type": "Notary", "status": "disabled"},
        "retentionPolicy": {"days": 7, "status": "disabled"},
        "exportPolicy": _ENABLED,
        "azureADAuthenticationAsArmPolicy": _ENABLED,
    },
    "encryption": _DISABLED,
    "dataEndpointEnabled": False,
    "dataEndpointHostNames": [],
    "privateEndpointConnections": [],
    "publicNetworkAccess": "Enabled",
    "networkRuleBypassOptions": "AzureServices",
    "zoneRedundancy": "Disabled",
    "anonymousPullEnabled": False,
}


@dataclass(frozen=True, kw_only=True)
class RepositoryEvent:
    """One operation on a repository, emitted on ``azure.events`` for the log.

    :ivar operation: ``Push``, ``Pull``, ``Untag``, ``Delete`` or ``importImage``
    :ivar media_type: of the manifest; for an import, the source image
    :ivar identity: object id or client id of the caller; empty for an anonymous caller
    :ivar duration: real seconds from the request to the end of the operation
    """

    time: datetime
    registry_id: str
    login_server: str
    region: str
    operation: str
    repository: str
    tag: str
    digest: str
    media_type: str
    size: int
    identity: str
    address: str
    user_agent: str
    correlation_id: str
    duration: float


@dataclass(frozen=True, kw_only=True)
class LoginEvent:
    """One login to a registry, emitted on ``azure.events`` for the log.

    :ivar identity: object id of the caller
    """

    time: datetime
    registry_id: str
    login_server: str
    region: str
    identity: str
    address: str
    user_agent: str
    correlation_id: str


def completed(document: Document) -> Document:
    """A registry's document with the properties that ARM adds to the requested ones."""
    name, requested = document["name"], document.get("properties") or {}
    tier = (document.get("sku") or {}).get("name", "Premium")
    return {
        **document,
        "type": REGISTRY_TYPE,
        "sku": {"name": tier, "tier": tier},
        "tags": document.get("tags") or {},
        "properties": _merged({"loginServer": name.lower() + LOGIN_SUFFIX, **DEFAULTS}, requested),
    }


def repository_permissions(document: Document) -> bool:
    """Whether the registry's permissions are those of repositories (ABAC)."""
    return bool(document["properties"].get(MODE) == ABAC)


def has_mode(api_version: str) -> bool:
    """Whether a version of the API knows ``roleAssignmentMode``."""
    return api_version[: len(MODE_SINCE)] >= MODE_SINCE


def patched(document: Document, change: Mapping[str, Any]) -> Document:
    """A registry's document after a PATCH: properties are merged, tags and SKU replaced."""
    after = {**document, **{key: change[key] for key in ("tags", "sku", "identity") if key in change}}
    after["properties"] = _merged(document["properties"], change.get("properties") or {})
    return completed(after)


def bypassed(document: Document) -> bool:
    """Whether Azure's own import can reach the registry's content (``networkRuleBypassOptions``)."""
    properties = document["properties"]
    return _open_to_all(properties) or properties.get("networkRuleBypassOptions") == "AzureServices"


def allows(document: Document, address: str, *, private: bool) -> bool:
    """Whether a client can reach the data plane.

    :param address: the client's public address
    :param private: whether it comes through a private endpoint
    """
    properties = document["properties"]
    if private or _open_to_all(properties):
        return True
    rules = (properties.get("networkRuleSet") or {}).get("ipRules") or []
    return properties.get("publicNetworkAccess") != "Disabled" and any(
        rule.get("value", "").removesuffix("/32") == address for rule in rules
    )


def policy_enabled(document: Document, policy: str) -> bool:
    """Whether one of the registry's policies is enabled, such as ``exportPolicy``."""
    found: Mapping[str, Any] = document["properties"].get("policies", {}).get(policy, {})
    return str(found.get("status", "")).lower() == "enabled"


def _open_to_all(properties: Mapping[str, Any]) -> bool:
    rules = properties.get("networkRuleSet") or {}
    return properties.get("publicNetworkAccess") != "Disabled" and rules.get("defaultAction", "Allow") == "Allow"


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Document:
    """`base` updated with `changes`, merging objects key by key."""
    after = dict(base)
    for key, value in changes.items():
        known = after.get(key)
        after[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return after

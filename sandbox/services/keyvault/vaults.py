"""Vaults as ARM shows them: what a PUT replaces, what a PATCH keeps, and what neither may change.

Source: REST API, Microsoft.KeyVault/vaults 2026-05-15. ``networkAcls`` and ``tags`` are replaced as a whole when they
are writable.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sandbox.core.errors import arm_fault
from sandbox.core.resources import Document
from sandbox.services.keyvault.firewall import network_acls

VAULT_TYPE = "Microsoft.KeyVault/vaults"
SUFFIX = ".vault.azure.net"
#: Since this api-version, new vaults use RBAC unless the request says otherwise.
RBAC_DEFAULT_SINCE = "2026-02-01"

_NAME = re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")
_NAME_RULE = (
    "A vault's name must be between 3-24 alphanumeric characters. The name must begin with a letter, end with a letter "
    "or digit, and not contain consecutive hyphens."
)
_READ_ONLY = ("vaultUri", "provisioningState", "hsmPoolResourceId", "privateEndpointConnections", "createMode")
_DEFAULTS: Document = {
    "accessPolicies": [],
    "enabledForDeployment": False,
    "enabledForDiskEncryption": False,
    "enabledForTemplateDeployment": False,
    "enableSoftDelete": True,
    "softDeleteRetentionInDays": 90,
    "publicNetworkAccess": "Enabled",
}


def put_vault(
    vault_id: str, requested: Document, before: Document | None, *, tenant_id: str, api_version: str, now: datetime
) -> Document:
    """The vault after a PUT; a new vault does not resolve yet.

    :raises HttpFault: 400 or 409 for what Key Vault refuses
    """
    name = vault_id.rsplit("/", 1)[-1]
    properties = _writable(requested)
    location = str(requested.get("location") or (before or {}).get("location") or "").replace(" ", "").lower()
    _require(bool(_NAME.fullmatch(name)), "VaultNameNotValid", f"The vault name '{name}' is invalid. {_NAME_RULE}")
    _require(bool(location), "LocationRequired", "The location property is required for this definition.")
    _require("sku" in properties, "BadRequest", "The property 'sku' is required.")
    own = str(properties.get("tenantId", "")).lower() == tenant_id
    _require(own, "BadRequest", "The property 'tenantId' is not the tenant of the subscription.")
    if before is not None and before["location"] != location:
        message = f"The resource '{name}' already exists in location '{before['location']}'."
        raise arm_fault(409, "InvalidResourceLocation", message)
    rbac = {"enableRbacAuthorization": api_version >= RBAC_DEFAULT_SINCE}
    document: Document = {
        "id": vault_id,
        "name": name,
        "type": VAULT_TYPE,
        "location": location,
        "tags": requested.get("tags") or {},
        "systemData": (before or {}).get("systemData") or {"createdAt": now.isoformat().replace("+00:00", "Z")},
        "properties": {**_DEFAULTS, **rbac, **_preserved(before), **properties},
    }
    document["properties"]["vaultUri"] = f"https://{name.lower()}{SUFFIX}/"
    document["properties"]["provisioningState"] = "RegisteringDns" if before is None else "Succeeded"
    return _checked(document, before)


def patch_vault(requested: Document, before: Document) -> Document:
    """The vault after a PATCH: each writable property replaces the previous one.

    :raises HttpFault: 400 for what Key Vault refuses
    """
    tags = before["tags"] if requested.get("tags") is None else requested["tags"]
    properties = {**_DEFAULTS, **before["properties"], **_writable(requested)}
    return _checked({**before, "tags": tags, "properties": properties}, before)


def retention_days(document: Document) -> int:
    """For how many days a deleted object can be recovered."""
    return int(document["properties"].get("softDeleteRetentionInDays", _DEFAULTS["softDeleteRetentionInDays"]))


def host_name(document: Document) -> str:
    return f"{document['name'].lower()}{SUFFIX}"


def _writable(requested: Document) -> Document:
    """The properties in the request, without read-only ones."""
    properties: Any = requested.get("properties") or {}
    writable = {key: value for key, value in properties.items() if value is not None and key not in _READ_ONLY}
    if "networkAcls" in writable:
        writable["networkAcls"] = network_acls(writable["networkAcls"])
    return writable


def _preserved(before: Document | None) -> Document:
    """The properties that another PUT does not reset."""
    properties = (before or {}).get("properties", {})
    return {
        key: properties[key]
        for key in ("enablePurgeProtection", "softDeleteRetentionInDays", "privateEndpointConnections")
        if key in properties
    }


def _checked(document: Document, before: Document | None) -> Document:
    properties = document["properties"]
    days = properties["softDeleteRetentionInDays"]
    _require(
        isinstance(days, int) and 7 <= days <= 90,
        "BadRequest",
        f"The property 'softDeleteRetentionInDays' must be between 7 and 90, not {days}.",
    )
    _require(
        properties["enableSoftDelete"] is True,
        "BadRequest",
        "The property 'enableSoftDelete' cannot be false: soft delete is always on.",
    )
    if before is not None:
        former = before["properties"]
        _require(
            not (former.get("enablePurgeProtection") and not properties.get("enablePurgeProtection")),
            "BadRequest",
            "The property 'enablePurgeProtection' cannot be set to false: purge protection is irreversible.",
        )
        _require(
            days == former.get("softDeleteRetentionInDays", days),
            "BadRequest",
            "The property 'softDeleteRetentionInDays' has been set already and it can't be modified.",
        )
    return document


def _require(condition: bool, code: str, message: str) -> None:
    if not condition:
        raise arm_fault(400, code, message)

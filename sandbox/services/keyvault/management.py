"""Vaults in ARM (control plane).

Source: REST API, Microsoft.KeyVault 2026-05-15. There are no ETags: when two clients write concurrently, the last write
wins.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.operations import Operation
from sandbox.core.rbac import contains
from sandbox.core.resources import Document
from sandbox.core.routing import Call, Service, answer
from sandbox.services.arm.ids import missing, require_group
from sandbox.services.entra.state import arm_caller
from sandbox.services.keyvault.state import DeletedVault, Vaults
from sandbox.services.keyvault.vaults import VAULT_TYPE, patch_vault, put_vault, retention_days

SUBSCRIPTION = "/subscriptions/{sub}"
PROVIDER = SUBSCRIPTION + "/providers/Microsoft.KeyVault"
VAULT = SUBSCRIPTION + "/resourceGroups/{rg}/providers/" + VAULT_TYPE + "/{name}"
DELETED = PROVIDER + "/locations/{location}/deletedVaults/{name}"
#: Azure seconds until the host name of a new vault resolves.
DNS_SECONDS = 15.0

vault_management = Service(
    "keyvault-management", ("management.azure.com",), authenticate=arm_caller, api_versions=("2026-05-15", "2026-02-01")
)


@vault_management.get(VAULT, action=f"{VAULT_TYPE}/read")
async def get_vault(call: Call) -> Response:
    return _vault_answer(call, _vault(call))


@vault_management.put(VAULT, action=f"{VAULT_TYPE}/write")
async def create_or_update_vault(call: Call) -> Response:
    body, name = call.json(), call.params["name"]
    group = require_group(call.azure, call.params["sub"], call.params["rg"])
    before = call.azure.resources.get(call.path)
    if before is None:
        _require_free(call, name, (body.get("properties") or {}).get("createMode") == "recover")
    document = put_vault(
        before["id"] if before else f"{group}/providers/{VAULT_TYPE}/{name}",
        body,
        before,
        tenant_id=call.azure.tenant_id,
        api_version=call.query.get("api-version", ""),
        now=call.azure.clock.now(),
    )
    call.azure.resources.put(document)
    if before is None:
        _register_name(call, document["id"])
    return _vault_answer(call, document)


@vault_management.patch(VAULT, action=f"{VAULT_TYPE}/write")
async def update_vault(call: Call) -> Response:
    return answer(call.azure.resources.put(patch_vault(call.json(), _vault(call))))


@vault_management.delete(VAULT, action=f"{VAULT_TYPE}/delete")
async def delete_vault(call: Call) -> Response:
    """Soft-delete the vault: its name stays taken until it is purged or recovered."""
    return Response(status_code=204 if call.azure.resources.delete(call.path) is None else 200)


@vault_management.post(PROVIDER + "/checkNameAvailability", action="Microsoft.KeyVault/checkNameAvailability/read")
async def check_name(call: Call) -> Response:
    name = str(call.json().get("name", ""))
    try:
        _require_free(call, name, recovering=False)
    except HttpFault as fault:
        message = fault.body["error"]["message"]
        return answer({"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return answer({"nameAvailable": True})


@vault_management.get(PROVIDER + "/deletedVaults", action="Microsoft.KeyVault/deletedVaults/read")
async def list_deleted_vaults(call: Call) -> Response:
    vaults = call.azure.state(Vaults)
    subscription = f"/subscriptions/{call.params['sub']}"
    found = [vault for vault in vaults.deleted.values() if contains(subscription, vault.document["id"])]
    return answer({"value": [_deleted_document(call, vault) for vault in found]})


@vault_management.get(DELETED, action="Microsoft.KeyVault/locations/deletedVaults/read")
async def get_deleted_vault(call: Call) -> Response:
    return answer(_deleted_document(call, _deleted(call)))


@vault_management.post(DELETED + "/purge", action="Microsoft.KeyVault/locations/deletedVaults/purge/action")
async def purge_vault(call: Call) -> Response:
    if _deleted(call).document["properties"].get("enablePurgeProtection"):
        message = "Operation 'DeletedVaultPurge' is not allowed: purge protection is enabled for this vault."
        raise arm_fault(409, "MethodNotAllowed", message)
    call.azure.state(Vaults).purge(call.params["name"])
    return Response(status_code=200)


def _vault(call: Call) -> Document:
    vault = call.azure.resources.get(call.path)
    if vault is None:
        raise missing(call.azure, call.path)
    return vault


def _vault_answer(call: Call, vault: Document) -> Response:
    pending = vault["properties"]["provisioningState"] != "Succeeded"
    return answer(vault, headers=call.azure.clock.retry_after(DNS_SECONDS / 3) if pending else None)


def _require_free(call: Call, name: str, recovering: bool) -> None:
    """A new vault needs a globally unused name; a recovery needs the name of a deleted vault."""
    if call.azure.resources.named(VAULT_TYPE, name) is not None:
        message = f"The vault name '{name}' is already in use. Vault names are globally unique."
        raise arm_fault(409, "VaultAlreadyExists", message)
    if name.lower() in call.azure.state(Vaults).deleted and not recovering:
        message = (
            "A vault with the same name already exists in deleted state. You need to either recover or purge "
            f"existing key vault '{name}'."
        )
        raise arm_fault(409, "ConflictError", message)


def _register_name(call: Call, vault_id: str) -> None:
    azure = call.azure

    async def registered(operation: Operation) -> None:
        await azure.clock.sleep(DNS_SECONDS)
        if (vault := azure.resources.get(vault_id)) is not None:
            vault["properties"]["provisioningState"] = "Succeeded"
            azure.resources.put(vault)

    azure.operations.start("vault", vault_id, registered)


def _deleted(call: Call) -> DeletedVault:
    name = call.params["name"]
    found = call.azure.state(Vaults).deleted.get(name.lower())
    if found is None:
        raise arm_fault(404, "DeletedVaultNotFound", f"The specified deleted vault '{name}' does not exist.")
    return found


def _deleted_document(call: Call, vault: DeletedVault) -> dict[str, Any]:
    document, properties = vault.document, vault.document["properties"]
    purge = vault.deleted + timedelta(days=retention_days(document))
    subscription = "/".join(document["id"].split("/")[:3])
    location, name = document["location"], document["name"]
    return {
        "id": f"{subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}",
        "name": name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": document["id"],
            "location": location,
            "tags": document["tags"],
            "deletionDate": vault.deleted.isoformat().replace("+00:00", "Z"),
            "scheduledPurgeDate": purge.isoformat().replace("+00:00", "Z"),
            **({"purgeProtectionEnabled": True} if properties.get("enablePurgeProtection") else {}),
        },
    }

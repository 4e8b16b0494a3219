"""What the tests of the sandbox as a whole share: tokens, clients of ARM, and a vault."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx

from sandbox.core.rbac import Principal
from sandbox.services.entra.state import Application, Entra
from sandbox.services.keyvault.vaults import VAULT_TYPE
from sandbox.tenant import CLUSTER_GROUP, LOCATION, group_id

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox

ARM = "https://management.azure.com"
VAULT = "https://vault.azure.net"


def pipeline(sandbox: RunningSandbox) -> Principal:
    return sandbox.azure.access.principals[sandbox.azure.scenario.identity.object_id]


def token(sandbox: RunningSandbox, audience: str = ARM, principal: Principal | None = None, life: float = 3599) -> str:
    """An access token, the pipeline's unless it is to be somebody else's."""
    return sandbox.azure.state(Entra).issue(principal or pipeline(sandbox), audience, lifetime=life)


def somebody(sandbox: RunningSandbox, *roles: str, scope: str = "") -> Principal:
    """Another service principal, with roles that count already."""
    access = sandbox.azure.access
    principal = access.add_principal(Principal(str(uuid.uuid4()), "ServicePrincipal", "sp-else", str(uuid.uuid4())))
    sandbox.azure.state(Entra).register(Application(principal.client_id or ""))
    for role in roles:
        at = scope or group_id(sandbox.azure, CLUSTER_GROUP)
        access.assign(role=role, principal_id=principal.object_id, scope=at, at_once=True)
    return principal


def owner(sandbox: RunningSandbox) -> Principal:
    """Somebody who may do everything in the subscription."""
    return somebody(sandbox, "Owner", scope=f"/subscriptions/{sandbox.azure.subscription_id}")


def arm(sandbox: RunningSandbox, principal: Principal | None = None) -> httpx.Client:
    """A bare client of ARM."""
    return httpx.Client(base_url=ARM, headers={"Authorization": f"Bearer {token(sandbox, ARM, principal)}"})


def group(sandbox: RunningSandbox) -> str:
    return group_id(sandbox.azure, CLUSTER_GROUP)


def vault_id(sandbox: RunningSandbox, name: str = "kv-ingress") -> str:
    return f"{group(sandbox)}/providers/{VAULT_TYPE}/{name}"


def add_vault(sandbox: RunningSandbox, *addresses: str, name: str = "kv-ingress", **more: Any) -> str:
    """A vault in RBAC mode whose firewall admits the addresses. Returns its id."""
    rules = [{"value": address} for address in addresses]
    body = {
        "location": LOCATION,
        "properties": {
            "tenantId": sandbox.azure.tenant_id,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules},
            **more,
        },
    }
    with arm(sandbox) as client:
        client.put(vault_id(sandbox, name), json=body).raise_for_status()
    return vault_id(sandbox, name)


def jump(sandbox: RunningSandbox, seconds: float) -> None:
    """Let Azure's time pass."""
    sandbox.control("POST", "/clock", json={"jump": seconds})

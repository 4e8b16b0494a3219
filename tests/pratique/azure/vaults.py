"""A vault for tests, closed to everybody as the walkthrough's is."""

from __future__ import annotations

from typing import Any

from pratique.azure.session import AzureSession
from sandbox.tenant import CLUSTER_GROUP

NAME = "kv-ingress"


async def make_vault(session: AzureSession, *addresses: str, **properties: Any) -> str:
    """Put a vault in the cluster's group, with firewall rules for addresses; its id."""
    caller = await session.caller()
    body: Any = {
        "location": "centralus",
        "tags": {"team": "platform"},
        "properties": {
            "tenantId": caller.tenant_id,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            "networkAcls": {
                "bypass": "AzureServices",
                "defaultAction": "Deny",
                "ipRules": [{"value": address} for address in addresses],
            },
            **properties,
        },
    }
    vault = await (await session.vaults.vaults.begin_create_or_update(CLUSTER_GROUP, NAME, body)).result()
    return str(vault.id)

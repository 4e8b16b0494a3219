"""Where a run's report leads its readers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.azure.registries import Registry
from pratique.azure.vault import Vault
from pratique.cluster.infrastructure import Infrastructure
from pratique.git.publish import Publication
from pratique.release.summary import links

GROUP = "/subscriptions/s/resourceGroups/rg/providers"
REGISTRY = Registry(
    id=f"{GROUP}/Microsoft.ContainerRegistry/registries/acr",
    name="acr",
    login_server="acr.azurecr.io",
    location="westus",
    public_access=True,
)
INFRASTRUCTURE = Infrastructure(
    quarantine=REGISTRY,
    registry=REGISTRY,
    vault=Vault("kv", f"{GROUP}/Microsoft.KeyVault/vaults/kv"),
    ingress_client_id="client",
    tenant_id="tenant",
    outcome="unchanged",
    seconds=1,
)


@pytest.mark.parametrize(
    ("remote", "commit"),
    [
        ("https://example.com/contoso/cluster.git", ["https://example.com/contoso/cluster/commit/abc"]),
        ("git@example.com:contoso/cluster.git", []),
        (str(Path("gitops.git")), []),
    ],
)
def test_links(remote: str, commit: list[str]) -> None:
    """Registry and vault in the cloud's portal; the commit where its remote is one that people can open."""
    found = {
        key: address
        for key, _, address in links(
            "https://portal", INFRASTRUCTURE, Publication(remote=remote, branch="main", head="abc")
        )
    }
    assert found.pop("registry") == f"https://portal/#@tenant/resource{REGISTRY.id}"
    assert found.pop("vault") == f"https://portal/#@tenant/resource{INFRASTRUCTURE.vault.id}"
    assert list(found.values()) == commit

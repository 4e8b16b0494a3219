"""A second cluster, green, that shares the registry of the first one, blue, with manifests of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from pratique.azure.deployments import ensure_deployment
from pratique.azure.session import AzureSession
from pratique.config import Bootstrap
from sandbox.tenant import LOCATION, group_id
from tests.flows.world import World, git

GREEN = "rg-green"
FOLDER = "green-manifests"


def configured(world: World, /, **sections: dict[str, Any]) -> World:
    document = world.config.model_dump(mode="json")
    for section, fields in sections.items():
        document[section] |= fields
    return replace(world, config=Bootstrap.model_validate(document))


async def make_green(blue: World, folder: Path) -> World:
    """A second cluster whose deployment names blue's registry, with manifests of its own.

    :param folder: for them; it does not exist yet
    """
    await add_group(blue)
    before = blue.config
    async with AzureSession.open(poll_seconds=0.02) as session:
        outputs = await ensure_deployment(session, GREEN, "green", template(blue), {})
    assert outputs.outcome == "deployed"
    green = configured(
        replace(blue, folder=folder),
        cluster={"resource_group": GREEN, "deployment": "green"},
        manifests={"remote": str(folder / "gitops.git"), "folder": FOLDER},
        registries={"records": {"remote": before.manifests.remote}},
    )
    seed_manifests(blue, folder)
    return green


async def add_group(cluster: World) -> None:
    """Green's resource group, in which the pipeline has the roles that it has in blue's."""
    azure = cluster.sandbox.azure

    async def add() -> None:
        group = group_id(azure, GREEN)
        azure.resources.put(
            {"id": group, "name": GREEN, "type": "Microsoft.Resources/resourceGroups", "location": LOCATION}
        )
        identity = azure.scenario.identity
        for role in identity.roles:
            azure.access.assign(role=role, principal_id=identity.object_id, scope=group, at_once=True)

    cluster.sandbox.run(add())


def template(cluster: World) -> dict[str, Any]:
    """A template that deploys nothing, and whose outputs name what is shared."""
    (registry,) = cluster.state()["registries"]
    outputs = {
        "containerRegistryName": registry,
        "quarantineContainerRegistryName": registry,
        "keyVaultName": cluster.vault_name,
        "ingressClientid": "00000000-0000-0000-0000-000000000000",
    }
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [],
        "outputs": {name: {"type": "string", "value": value} for name, value in outputs.items()},
    }


def seed_manifests(cluster: World, folder: Path) -> None:
    """A repository with the manifests that blue's had at first, in another folder."""
    seed = folder / "seed"
    shutil.copytree(cluster.folder / "seed" / "cluster-manifests", seed / FOLDER)
    git("init", "--quiet", folder=seed)
    git("add", "--all", folder=seed)
    git("commit", "--quiet", "--message", "Sample", folder=seed)
    git("clone", "--quiet", "--bare", str(seed), str(folder / "gitops.git"), folder=folder)

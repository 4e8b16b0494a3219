"""Replicas of a cluster's registry."""

from __future__ import annotations

from sandbox.services.acr.models import REGISTRY_TYPE
from tests.flows.world import World
from tests.sandbox.callers import arm, owner

REGIONS = EAST, WEST = "eastus2", "westus2"
PREVIEW, STABLE = "api-version=2026-09-01-preview", "api-version=2025-11-01"


def add_replicas(made: World, *, servers: bool = True) -> None:
    """Give the registry replicas in two regions.

    :param servers: whether its regional login servers are enabled
    """
    with arm(made.sandbox, owner(made.sandbox)) as client:
        for number, region in enumerate((EAST, WEST)):
            path = f"{registry_id(made)}/replications/replica{number}?{STABLE}"
            client.put(path, json={"location": region}).raise_for_status()
        body = {"properties": {"regionalEndpoints": "Enabled" if servers else "Disabled"}}
        client.patch(f"{registry_id(made)}?{PREVIEW}", json=body).raise_for_status()


def registry_id(made: World) -> str:
    (found,) = [one["id"] for one in made.state()["resources"] if one["type"] == REGISTRY_TYPE]
    return str(found)

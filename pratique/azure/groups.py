"""Resource groups (Microsoft.Resources, 2025-04-01)."""

from __future__ import annotations

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import NotFound, PratiqueError


async def read_group(session: AzureSession, name: str) -> str:
    """Read a resource group, as text with its name and location.

    :raises NotFound: with the command that creates it
    """
    remedies: dict[type[PratiqueError], str] = {NotFound: f"Create it: az group create -n {name} -l <location>"}
    with azure_faults("read the resource group", name, remedies=remedies):
        group = await session.resources.resource_groups.get(name)
    return f"{name} in {group.location}"

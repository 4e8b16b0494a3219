"""Predicts the infrastructure that a plan needs and that is not deployed yet."""

from __future__ import annotations

from collections.abc import Sequence

from pratique.azure.registries import Registry, get_registry
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.azure.what_if import ResourceChange
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Registries
from pratique.errors import NotFound

_REGISTRY, _VAULT = "Microsoft.ContainerRegistry/registries", "Microsoft.KeyVault/vaults"


async def predicted_infrastructure(
    session: AzureSession, changes: Sequence[ResourceChange], registries: Registries
) -> Infrastructure:
    """The names of infrastructure that is not deployed yet. The identity's client id cannot be predicted.

    Registries that the configuration names exist already.

    :param changes: what a deployment would change
    :raises NotFound: when the template creates no vault, or neither it nor the configuration has a registry
    """
    found = {kind: change.id for change in changes for kind in (_REGISTRY, _VAULT) if _is(change, kind)}
    quarantine, live = [await get_registry(session, name) if name else None for name in registries.ids]
    if _REGISTRY in found:
        own = _new_registry(session, found[_REGISTRY])
        quarantine, live = quarantine or own, live or own
    if quarantine is None or live is None or _VAULT not in found:
        raise NotFound(
            "predict the infrastructure",
            "the template",
            "It does not create a registry and a vault.",
            "Deploy it first, or use a template that creates both; name registries of others in registries.",
        )
    vault = Vault(found[_VAULT].rpartition("/")[2], found[_VAULT])
    return Infrastructure(
        quarantine=quarantine,
        registry=live,
        vault=vault,
        ingress_client_id="",
        tenant_id=(await session.caller()).tenant_id,
        outcome="planned",
        seconds=0,
    )


def _new_registry(session: AzureSession, resource_id: str) -> Registry:
    """A registry that does not exist yet, so that it has no location."""
    name = resource_id.rpartition("/")[2]
    login_server = f"{name.lower()}{session.cloud.acr_suffix}"
    return Registry(id=resource_id, name=name, login_server=login_server, location="", public_access=False)


def _is(change: ResourceChange, kind: str) -> bool:
    parts = change.name.split("/")
    return change.kind != "Ignore" and len(parts) == 3 and "/".join(parts[:2]).lower() == kind.lower()

"""Checks what the identity may do with the content of a registry, in the registry's own kind of permissions.

Resource Manager lists the rights of the identity's roles, without their conditions. Whether a condition covers
``quarantine/`` and ``live/`` only the registry itself can say: it is asked for repositories that need not exist.

Facts: Microsoft Learn, "Microsoft Entra repository permissions in Azure Container Registry".
"""

from __future__ import annotations

from pratique.azure.permissions import missing_rights
from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied
from pratique.images import LIVE, QUARANTINE, ImageReference
from pratique.oci.client import OciClient
from pratique.oci.pushing import repository_exists
from pratique.oci.rights import LIST_CATALOG, PULL, READ_CONTENT, READ_METADATA

#: Rights of a run with registry permissions (actions) and with repository permissions (data actions);
#: infra/pipeline-role-registry.json and infra/pipeline-role-registry-abac.json.
ACTIONS = (PULL,)
DATA_ACTIONS = (LIST_CATALOG, READ_CONTENT, READ_METADATA)
_CONDITION = "infra/pipeline-role-registry-abac.condition"
_LEGACY_ROLE = "infra/pipeline-role-registry.json, or AcrPull,"
_ABAC_ROLE = (
    f"infra/pipeline-role-registry-abac.json on it, with {_CONDITION}; or Container Registry Repository Reader with "
    "that condition, and Container Registry Repository Catalog Lister"
)
#: A name that no image has: with the right to read it the registry says that it is absent.
_ABSENT = "pratique-check"


async def check_rights(session: AzureSession, registry: Registry) -> str:
    """Say which kind of permissions the registry has, and check that the identity's roles are enough for it.

    :raises PermissionDenied: with the rights that no role of the identity grants in that kind
    """
    legacy = await missing_rights(session, registry.id, ACTIONS, ())
    abac = await missing_rights(session, registry.id, (), DATA_ACTIONS)
    found = f"{registry.login_server} has {_KINDS[registry.permissions]}"
    missing, role = {
        "legacy": (legacy, f"the role in {_LEGACY_ROLE} on it"),
        "abac": (abac, f"the role in {_ABAC_ROLE}. AcrPull, AcrPush and AcrDelete do not count there"),
        "unknown": (
            legacy and abac and [*legacy, "or, if the permissions are those of repositories,", *abac],
            f"the role in {_LEGACY_ROLE} on it; if its permissions are those of repositories, the role in {_ABAC_ROLE}",
        ),
    }[registry.permissions]
    if missing:
        raise PermissionDenied(
            "use the registry's content",
            registry.login_server,
            f"It has {_KINDS[registry.permissions]}, and the identity lacks {', '.join(missing)}.",
            f"Assign {role}. A new role takes up to ten minutes to work.",
        )
    return f"{found}, and roles of this identity grant what a run reads"


_KINDS = {
    "legacy": "registry permissions (roleAssignmentMode LegacyRegistryPermissions)",
    "abac": "repository permissions (ABAC; roleAssignmentMode AbacRepositoryPermissions)",
    "unknown": "permissions of a kind that Resource Manager does not show",
}


async def check_reading(client: OciClient, registry: Registry) -> str:
    """Sign in to the registry, and check that conditions let this identity read ``quarantine/`` and ``live/``.

    :raises PermissionDenied: when one of them is closed to it, with the role and the condition that open it
    """
    await client.ping(registry.login_server)
    for prefix in (QUARANTINE, LIVE):
        name = f"{prefix}{_ABSENT}"
        await repository_exists(client, registry.login_server, name)
        await client.head(ImageReference(registry.login_server, name, "latest"))
    return f"{registry.login_server} is reachable from here, and lets this identity read {QUARANTINE} and {LIVE}"

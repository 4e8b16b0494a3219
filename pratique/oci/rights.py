"""The right that an Azure registry found missing, and the step that grants it.

A registry has one of two kinds of permissions (``roleAssignmentMode``). With registry permissions, roles such as
AcrPull count, for all repositories. With repository permissions (ABAC) those roles do not count: the roles of
repositories do, and a condition can confine each assignment to some of them. A refusal looks the same in both, and like
a missing login, so the step names the roles.

Facts: Microsoft Learn, "Microsoft Entra repository permissions in Azure Container Registry", "Azure built-in roles for
Containers".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pratique.errors import AuthenticationFailed, PermissionDenied

#: Permissions of a registry, of its repositories, or not known.
Permissions = Literal["legacy", "abac", "unknown"]

_REGISTRY = "Microsoft.ContainerRegistry/registries/"
_REPOSITORY = f"{_REGISTRY}repositories/"
PULL = f"{_REGISTRY}pull/read"
READ_CONTENT = f"{_REPOSITORY}content/read"
READ_METADATA = f"{_REPOSITORY}metadata/read"
#: Of tags and manifests, such as locks. AcrPush does not have it: Microsoft Learn, "Azure Container Registry roles
#: directory reference", names no locks there. UNVERIFIED, as the role that it takes is not named either.
CHANGE_ATTRIBUTES = f"{_REGISTRY}metadata/write"
LIST_CATALOG = f"{_REGISTRY}catalog/read"


@dataclass(frozen=True)
class _Right:
    """Built-in roles and the rights in them that matter, in both kinds of permissions.

    :ivar conditional: whether a condition can confine the role of repositories
    """

    legacy: str
    action: str
    abac: str
    data_actions: tuple[str, ...]
    conditional: bool = True


_READ = _Right("AcrPull", PULL, "Container Registry Repository Reader", (READ_CONTENT, READ_METADATA))
_WRITE = _Right(
    "AcrPush",
    f"{_REGISTRY}push/write",
    "Container Registry Repository Writer",
    (f"{_REPOSITORY}content/write", f"{_REPOSITORY}metadata/write"),
)
_DELETE = _Right(
    "AcrDelete",
    f"{_REGISTRY}artifacts/delete",
    "Container Registry Repository Contributor",
    (f"{_REPOSITORY}content/delete", f"{_REPOSITORY}metadata/delete"),
)
_LOCK = _Right(
    "the role in infra/pipeline-role-seal-registry.json",
    CHANGE_ATTRIBUTES,
    "the role in infra/pipeline-role-seal-registry-abac.json",
    (f"{_REPOSITORY}metadata/write",),
)
_LIST = _Right("AcrPull", PULL, "Container Registry Repository Catalog Lister", (LIST_CATALOG,), conditional=False)
#: By action of a token's scope; the strongest of a scope's actions decides.
_BY_ACTION = {"delete": _DELETE, "push": _WRITE, "metadata_write": _LOCK, "pull": _READ, "metadata_read": _READ}


def missing_right(
    error: AuthenticationFailed | PermissionDenied, registry: str, scope: str, permissions: Permissions
) -> PermissionDenied:
    """The error of a request that an Azure registry refused to an identity that it knows.

    :param scope: of the token that the request needed, such as ``repository:live/busybox:pull``
    """
    return PermissionDenied(error.attempted, error.subject, error.observed, _step(registry, scope, permissions))


def import_right(permissions: Permissions) -> str:
    """The step for an import that Azure refuses for a missing right, to stand behind the right that Azure names.

    :param permissions: of the registry that is imported into
    """
    role = (
        "An import takes Container Registry Data Importer and Data Reader, or other roles with its rights, on the "
        "registry that it writes to and on a registry that it reads"
    )
    if permissions == "legacy":
        return f"{role}: there, {PULL}."
    reading = f"with repository permissions (ABAC), {READ_CONTENT} and {READ_METADATA}"
    condition = "If a condition covers the repositories and Azure still refuses, grant them without a condition."
    return f"{role}: {reading}. {condition} docs/security.md lists the roles."


def _step(registry: str, scope: str, permissions: Permissions) -> str:
    kind, _, rest = scope.partition(":")
    repository, _, actions = rest.rpartition(":")
    right = _LIST
    if kind == "repository":
        right = next((found for action, found in _BY_ACTION.items() if action in actions.split(",")), _READ)
    condition = f", with a condition that covers {repository} if any" if right.conditional else ""
    legacy = f"{right.legacy}, or another role with {right.action}, on it"
    abac = f"{right.abac}, or another role with {' and '.join(right.data_actions)}, on it{condition}"
    known, grant = f"{registry} has", "grant the worker's identity"
    said = {
        "abac": f"{known} repository permissions (ABAC): {grant} {abac}. AcrPull and the like do not count.",
        "legacy": f"{known} registry permissions: {grant} {legacy}.",
        "unknown": f"If {known} registry permissions, {grant} {legacy}; if repository permissions (ABAC), {abac}.",
    }[permissions]
    return f"{said} 'pratique check' says which it has; docs/security.md lists the roles."

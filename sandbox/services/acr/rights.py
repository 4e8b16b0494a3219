"""What a caller may do with a registry's content, in both modes of its permissions (``roleAssignmentMode``).

With registry permissions, the older mode, actions count: ``registries/pull/read`` and the like, for all repositories.
With repository permissions (ABAC), data actions count, and conditions of role assignments can read the repository's
name. Neither mode honours the rights of the other.

It is not documented whether a push needs ``metadata/write``, and a deletion ``metadata/delete``, besides the right to
the content. Microsoft's roles always have both, and so both are required here.

With registry permissions, attributes (locks) are changed with ``metadata/write``, which AcrPush does not have: so users
report, and Microsoft's directory of roles names no locks for AcrPush. A scenario can let pushers change them.

Sources: "Microsoft Entra repository permissions in Azure Container Registry", "Azure built-in roles for Containers"
(Microsoft Learn).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sandbox.core.conditions import NO_ATTRIBUTES, Attributes
from sandbox.core.errors import arm_fault
from sandbox.core.rbac import Principal
from sandbox.core.resources import Document
from sandbox.core.routing import Call
from sandbox.services.acr.models import repository_permissions
from sandbox.services.oci.tokens import TokenScope

_REGISTRY = "Microsoft.ContainerRegistry/registries/"
PULL = f"{_REGISTRY}pull/read"
_PUSH = f"{_REGISTRY}push/write"
_DELETE = f"{_REGISTRY}artifacts/delete"
_ATTRIBUTES = f"{_REGISTRY}metadata/write"
_REPOSITORY = f"{_REGISTRY}repositories/"
_NAME = f"{_REPOSITORY.removesuffix('/')}:name".lower()
CATALOG = f"{_REGISTRY}catalog/read"

#: The action behind each action of a token, with registry permissions.
_LEGACY: Mapping[str, str] = {
    "pull": PULL,
    "metadata_read": PULL,
    "push": _PUSH,
    "metadata_write": _ATTRIBUTES,
    "delete": _DELETE,
}
#: The data actions behind each action of a token, with repository permissions.
_ABAC: Mapping[str, tuple[str, ...]] = {
    "pull": (f"{_REPOSITORY}content/read",),
    "metadata_read": (f"{_REPOSITORY}metadata/read",),
    "push": (f"{_REPOSITORY}content/write", f"{_REPOSITORY}metadata/write"),
    "metadata_write": (f"{_REPOSITORY}metadata/write",),
    "delete": (f"{_REPOSITORY}content/delete", f"{_REPOSITORY}metadata/delete"),
}


def right(call: Call, registry: Document, scope: TokenScope) -> str:
    """The first right behind a scope with one action, for the request log."""
    abac = repository_permissions(registry)
    if scope.kind == "registry":
        return CATALOG if abac else PULL
    return _ABAC[scope.actions[0]][0] if abac else _legacy(call, scope.actions[0]) or ""


def permitted(call: Call, registry: Document, principal: Principal, scope: TokenScope) -> tuple[str, ...]:
    """The actions of a scope that the principal may carry out; ``*`` stands for all actions on a repository."""
    if scope.kind == "registry":
        return scope.actions if scope.name == "catalog" and _may_list(call, registry, principal) else ()
    wanted = _LEGACY.keys() if "*" in scope.actions else scope.actions
    return tuple(action for action in wanted if _may(call, registry, principal, action, scope.name))


def check_target(call: Call, registry: Document, repositories: Iterable[str]) -> None:
    """Check the caller's rights on the registry that an import copies into, beyond ``importImage``.

    :raises HttpFault: ARM's 403; how Azure words this one is not known
    """
    if repository_permissions(registry) and (missing := _unreadable(call, registry, repositories)):
        raise arm_fault(
            403,
            "AuthorizationFailed",
            f"The client '{call.principal.client_id}' with object id '{call.principal.object_id}' does not have "
            f"authorization to perform action '{missing}' over scope '{registry['id']}' or the scope is invalid. If "
            "access was recently granted, please refresh your credentials.",
        )


def check_source(call: Call, registry: Document, repository: str, target: str) -> None:
    """Check the caller's rights on a registry that an import names by resource id.

    :param target: resource id of the registry that is imported into
    :raises HttpFault: ARM's 403, worded as in MicrosoftDocs/azure-docs#33442
    """
    if repository_permissions(registry):
        missing = _unreadable(call, registry, [repository])
    else:
        missing = "" if call.azure.access.allowed(call.principal.object_id, PULL, registry["id"]) else PULL
    if missing:
        raise arm_fault(
            403,
            "LinkedAuthorizationFailed",
            f"The client '{call.principal.client_id}' with object id '{call.principal.object_id}' has permission to "
            f"perform action '{_REGISTRY}importImage/action' on scope '{target}'; however, it does not have permission "
            f"to perform action 'read' on the linked scope(s) '{registry['id']}'.",
        )


def _unreadable(call: Call, registry: Document, repositories: Iterable[str]) -> str:
    """The data action that the caller lacks on one of the repositories, or nothing.

    With ``imports: registry`` an import asks for the whole registry, and no condition on a name is met.
    """
    by_name = call.azure.scenario.registry_permissions.imports == "repository"
    for repository in repositories:
        attributes = named(repository) if by_name else NO_ATTRIBUTES
        for action in (*_ABAC["pull"], *_ABAC["metadata_read"]):
            if not _allowed(call, registry, call.principal, action, attributes):
                return action
    return ""


def named(repository: str) -> Attributes:
    """What conditions read about a request for a repository."""
    return Attributes(request={_NAME: repository})


def _may(call: Call, registry: Document, principal: Principal, action: str, repository: str) -> bool:
    if repository_permissions(registry):
        required = _ABAC.get(action, ())
        return bool(required) and all(_allowed(call, registry, principal, one, named(repository)) for one in required)
    legacy = _legacy(call, action)
    return legacy is not None and call.azure.access.allowed(principal.object_id, legacy, registry["id"])


def _legacy(call: Call, action: str) -> str | None:
    """The action behind an action of a token, with registry permissions; ``None`` for an unknown one."""
    if action == "metadata_write" and call.azure.scenario.registry_locks.right == "push":
        return _PUSH
    return _LEGACY.get(action)


def _may_list(call: Call, registry: Document, principal: Principal) -> bool:
    if repository_permissions(registry):
        return _allowed(call, registry, principal, CATALOG, NO_ATTRIBUTES)
    return call.azure.access.allowed(principal.object_id, PULL, registry["id"])


def _allowed(call: Call, registry: Document, principal: Principal, action: str, attributes: Attributes) -> bool:
    access = call.azure.access
    return access.allowed(principal.object_id, action, registry["id"], data=True, attributes=attributes)

"""Resource ids, and ARM's errors for missing resources."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.azure import Azure
from sandbox.core.errors import HttpFault, arm_fault

GROUP_TYPE = "Microsoft.Resources/resourceGroups"


@dataclass(frozen=True)
class ResourceId:
    """The last resource, or list of resources, in a path.

    :ivar scope: the part before the last ``/providers/``
    :ivar type: such as ``Microsoft.KeyVault/vaults/secrets``
    :ivar name: for nested types all names, joined by ``/``; ``None`` for the list of a type
    """

    scope: str
    type: str
    name: str | None


def parse(path: str) -> ResourceId | None:
    """The resource in a path, ``None`` when the path has no provider.

    >>> parse("/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv")
    ResourceId(scope='/subscriptions/s/resourceGroups/g', type='Microsoft.KeyVault/vaults', name='kv')
    """
    start = path.lower().rfind("/providers/")
    if start < 0:
        return None
    namespace, *rest = path[start + len("/providers/") :].strip("/").split("/")
    if not rest:
        return None
    kinds, names = rest[::2], rest[1::2]
    complete = len(kinds) == len(names)
    return ResourceId(path[:start], "/".join((namespace, *kinds)), "/".join(names) if complete else None)


def canonical(azure: Azure, scope: str) -> str:
    """An existing scope, in ARM's spelling.

    :raises HttpFault: ARM's 404 for a missing group or resource
    """
    scope = re.sub("/+", "/", scope.rstrip("/"))  # SDKs leave the place of a missing parent empty
    if scope.lower() in {f"/subscriptions/{subscription}" for subscription in azure.subscription_ids}:
        return scope.lower()
    if (found := azure.resources.get(scope)) is None:
        raise missing(azure, scope)
    return str(found["id"])


def require_group(azure: Azure, subscription: str, name: str) -> str:
    """The id of a resource group.

    :param subscription: the subscription's GUID
    :raises HttpFault: 404 ResourceGroupNotFound
    """
    found = azure.resources.get(f"/subscriptions/{subscription}/resourceGroups/{name}")
    if found is None:
        raise _group_missing(name)
    return str(found["id"])


def missing(azure: Azure, path: str) -> HttpFault:
    """The 404 for a path without a resource: about its resource group, if that is missing too."""
    segments = path.strip("/").split("/")
    group = segments[3] if len(segments) > 3 and segments[2].lower() == "resourcegroups" else None
    if group is not None and azure.resources.get("/" + "/".join(segments[:4])) is None:
        return _group_missing(group)
    resource = parse(path)
    if resource is None or resource.name is None:
        return arm_fault(404, "ResourceNotFound", f"The scope '{path}' was not found.")
    kinds, names = resource.type.split("/"), resource.name.split("/")
    full = "/".join([kinds[0], *(part for pair in zip(kinds[1:], names, strict=True) for part in pair)])
    message = (
        f"The Resource '{full}' under resource group '{group or '<null>'}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return arm_fault(404, "ResourceNotFound", message)


def _group_missing(name: str) -> HttpFault:
    return arm_fault(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")

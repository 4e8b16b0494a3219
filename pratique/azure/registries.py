"""Container registries as Resource Manager shows them, and the import of images into them.

::

    registry = await get_registry(session, "acraksabc")
    source = Upstream("docker.io", "library/busybox", digest)
    await import_image(session, registry, source=source, targets=["quarantine/library/busybox:1.37.0"])

An import never overwrites a tag unless told to. It is not repeated here when its answer is lost: whoever calls looks
first whether the tag stands.

Facts: Microsoft.ContainerRegistry/registries and importImage REST API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from azure.mgmt.containerregistry import models

from pratique.azure.faults import azure_faults
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.errors import (
    ConfigurationError,
    Conflict,
    NotFound,
    OperationFailed,
    PratiqueError,
    Throttled,
    UnreadableAnswer,
)
from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient

IMPORT_DEADLINE_SECONDS = 30 * 60
TAG_EXISTS = "already exists in target registry"
# The service passes on what the upstream registry said; the codes are those of the OCI distribution spec.
_THROTTLED = ("toomanyrequests", "too many requests", "rate limit", "status code 429")
_REFUSED = ("unauthorized", "authentication required", "denied", "status code 401", "status code 403")
_MISSING = ("manifest unknown", "manifest_unknown", "name_unknown", "not found", "does not exist", "status code 404")


@dataclass(frozen=True)
class Registry:
    """A container registry.

    :ivar id: ARM resource id
    :ivar login_server: host of its data plane
    :ivar public_access: whether its data plane is open to any public network
    """

    id: str
    name: str
    login_server: str
    location: str
    public_access: bool


@dataclass(frozen=True)
class RegistryCredentials:
    """A login at an upstream registry; without a user name, the password is an access token."""

    username: str | None
    password: str = field(repr=False)


@dataclass(frozen=True)
class Upstream:
    """An image of another registry.

    :ivar registry_uri: its host, such as ``docker.io``
    :ivar version: its digest; a tag only where nobody could resolve it, to be read back afterwards
    """

    registry_uri: str
    repository: str
    version: str
    credentials: RegistryCredentials | None = None

    @property
    def image(self) -> str:
        return f"{self.repository}{'@' if ':' in self.version else ':'}{self.version}"


@dataclass(frozen=True)
class Internal:
    """An image of an Azure container registry in the same tenant, reached by its resource id."""

    resource_id: str
    repository: str
    digest: str

    @property
    def image(self) -> str:
        return f"{self.repository}@{self.digest}"


async def get_registry(session: AzureSession, name_or_id: str, group: str | None = None) -> Registry:
    """Find a registry by its name, login server or resource id in the session's subscription.

    :param group: resource group; saves looking through the subscription
    :raises NotFound: when there is none
    """
    if name_or_id.startswith("/"):
        at = _own(session, name_or_id)
        name_or_id, group = at.name, at.group
    with azure_faults("find the registry", name_or_id):
        if group is not None:
            return _registry(await session.registries.registries.get(group, name_or_id))
        async for candidate in session.registries.registries.list():
            registry = _registry(candidate)
            if name_or_id.lower() in (registry.name.lower(), registry.login_server.lower()):
                return registry
    raise NotFound(
        "find the registry",
        name_or_id,
        f"Subscription {session.subscription_id} shows no registry of that name.",
        "Check the name and the subscription: az acr list -o table",
    )


async def import_image(
    session: AzureSession,
    registry: Registry,
    *,
    source: Upstream | Internal,
    targets: Sequence[str],
    untagged_repositories: Sequence[str] = (),
    force: bool = False,
) -> None:
    """Copy an image into the registry, and wait until it stands.

    :param targets: each ``repository:tag``
    :param untagged_repositories: repositories that get the manifest without a tag
    :param force: move target tags that exist already
    :raises Conflict: a target tag exists already, with whatever digest, and nothing forces
    :raises NotFound: the source, or the registry, does not exist
    :raises Throttled: the upstream registry limits the service's pulls
    :raises Unavailable: the answer was lost: look before asking again
    :raises OperationFailed: the import ended badly
    """
    at = _own(session, registry.id)
    subject = f"{source.image} into {', '.join((*targets, *untagged_repositories))} of {registry.name}"
    request = models.ImportImageParameters(
        source=_source(source),
        target_tags=list(targets),
        untagged_target_repositories=list(untagged_repositories),
        mode=models.ImportMode.FORCE if force else models.ImportMode.NO_FORCE,
    )
    try:
        with azure_faults("import the image", subject):
            async with asyncio.timeout(IMPORT_DEADLINE_SECONDS):
                poller = await session.registries.registries.begin_import_image(at.group, at.name, request)
                await poller.result()
    except (Conflict, OperationFailed) as error:
        raise _refusal(error, source) from None


def _own(session: AzureSession, resource_id: str) -> ResourceId:
    at = ResourceId.parse(resource_id)
    if at.subscription.lower() != session.subscription_id.lower():
        raise ConfigurationError(
            "use the registry",
            resource_id,
            f"It is not in subscription {session.subscription_id}.",
            "Set AZURE_SUBSCRIPTION_ID to the registry's subscription.",
        )
    return at


def _source(source: Upstream | Internal) -> models.ImportSource:
    if isinstance(source, Internal):
        return models.ImportSource(source_image=source.image, resource_id=source.resource_id)
    credentials = None
    if source.credentials is not None:
        credentials = models.ImportSourceCredentials(
            username=source.credentials.username, password=source.credentials.password
        )
    return models.ImportSource(source_image=source.image, registry_uri=source.registry_uri, credentials=credentials)


def _refusal(error: Conflict | OperationFailed, source: Upstream | Internal) -> PratiqueError:
    """Tell the ends of an import apart: the service reports all of them as one failed operation."""
    told = error.observed.lower()
    kind: type[PratiqueError]
    if TAG_EXISTS in told or isinstance(error, Conflict):
        kind, remedy = Conflict, "Compare its digest: az acr repository show -n <registry> -t <repository:tag>"
    elif any(mark in told for mark in _THROTTLED):
        kind, remedy = Throttled, "Wait, or give credentials for the upstream registry."
    elif any(mark in told for mark in _REFUSED):
        where = source.registry_uri if isinstance(source, Upstream) else source.resource_id
        kind, remedy = OperationFailed, f"Give credentials that may read {source.repository} at {where}."
    elif any(mark in told for mark in _MISSING):
        kind, remedy = NotFound, "Check the source's repository and digest."
    else:
        kind, remedy = OperationFailed, error.remedy
    return kind(error.attempted, error.subject, error.observed, remedy)


def _registry(found: models.Registry) -> Registry:
    properties = found.properties
    if not (found.id and found.name and properties and properties.login_server):
        raise UnreadableAnswer("find the registry", str(found.id), "It has no login server.", "Run again.")
    return Registry(
        found.id,
        found.name,
        properties.login_server.lower(),
        found.location,
        properties.public_network_access != "Disabled",
    )


def oci_client(session: AzureSession, http: httpx.AsyncClient, logins: Mapping[str, Login]) -> OciClient:
    """A client for every registry that a run meets.

    :param logins: by source registry
    """
    suffix = session.cloud.acr_suffix
    return OciClient(http, Authenticator(http, logins=logins, entra=session.registry_token, acr_suffix=suffix))

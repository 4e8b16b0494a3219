"""Container registries in Resource Manager, and the import of images into them.

::

    registry = await get_registry(session, "acraksabc")
    source = Upstream("docker.io", "library/busybox", digest)
    await import_image(session, registry, source=source, targets=["quarantine/library/busybox:1.37.0"])

An import never overwrites a tag unless ``force`` is set. An import whose answer was lost is not repeated here: the
caller first checks whether the tag exists.

Facts: Microsoft.ContainerRegistry/registries and importImage REST API.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from azure.mgmt.containerregistry import models

from pratique.azure.faults import azure_faults
from pratique.azure.import_polling import ImportPolling, durations_of
from pratique.azure.import_refusals import Import, import_step
from pratique.azure.lists import every_page
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import (
    Conflict,
    NotFound,
    OperationFailed,
    PermissionDenied,
    PratiqueError,
    Prohibited,
    TagExists,
    Throttled,
    Unavailable,
    UnreadableAnswer,
)
from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient
from pratique.oci.faults import LOCKED_STEP, is_locked_answer
from pratique.oci.rights import Permissions, import_right

IMPORT_DEADLINE_SECONDS = 30 * 60
#: Seen in messages of code Conflict; what stands around it has changed (azure-cli's issues).
TAG_EXISTS = "already exists in target registry"
_PERMISSIONS: Mapping[str, Permissions] = {
    models.RoleAssignmentMode.LEGACY_REGISTRY_PERMISSIONS.value.lower(): "legacy",
    models.RoleAssignmentMode.ABAC_REPOSITORY_PERMISSIONS.value.lower(): "abac",
}
_RIGHTS = re.compile(r"\b(linked)?authorizationfailed\b")  # the caller's, not Azure's at the source
#: Azure is too busy, not the source. The codes that container registries use for that are not documented.
_BUSY = re.compile(r"(429|503)\b|(\d{3} )?(toomanyrequests|\w*requeststhrottled|serverbusy|\w*operationinprogress)\b")


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A container registry.

    :ivar id: ARM resource id
    :ivar login_server: host of its data plane
    :ivar public_access: whether its data plane is reachable from public networks
    :ivar permissions: whether roles count for the registry (``legacy``) or for its repositories (``abac``); older
        versions of the API do not show it, and what is not shown is ``unknown``
    :ivar premium: whether it may have replicas; no other SKU has any
    """

    id: str
    name: str
    login_server: str
    location: str
    public_access: bool
    permissions: Permissions = "unknown"
    premium: bool = True


@dataclass(frozen=True)
class RegistryCredentials:
    """Credentials for an upstream registry; without a user name, the password is an access token."""

    username: str | None
    password: str = field(repr=False)


@dataclass(frozen=True)
class Upstream:
    """An image in another registry.

    :ivar registry_uri: host of the registry, such as ``docker.io``
    :ivar version: its digest; a tag only where the tag could not be resolved, so the digest must be read afterwards
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
    """An image in an Azure container registry of the same tenant, addressed by the registry's resource id."""

    resource_id: str
    repository: str
    digest: str

    @property
    def image(self) -> str:
        return f"{self.repository}@{self.digest}"


async def get_registry(session: AzureSession, name_or_id: str, group: str | None = None) -> Registry:
    """Find a registry by its name or login server in the session's subscription, or by its resource id anywhere.

    :param group: resource group; saves searching the subscription
    :raises NotFound: when there is no such registry
    """
    if name_or_id.startswith("/"):
        at = ResourceId.parse(name_or_id)
        session, name_or_id, group = session.in_subscription(at.subscription), at.name, at.group
    attempted = "find the registry"
    with azure_faults(attempted, name_or_id):
        if group is not None:
            return _registry(await session.registries.registries.get(group, name_or_id))
        hook = every_page(attempted, name_or_id)
        async for candidate in session.registries.registries.list(raw_response_hook=hook):
            registry = _registry(candidate)
            if name_or_id.lower() in (registry.name.lower(), registry.login_server.lower()):
                return registry
    raise NotFound(
        attempted,
        name_or_id,
        f"Subscription {session.subscription_id} has no registry of that name, or hides it from this identity.",
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
    """Import an image into the registry, and wait until the import is complete.

    :param targets: each ``repository:tag``
    :param untagged_repositories: repositories that get the manifest without a tag
    :param force: move target tags that already exist
    :raises TagExists: a target tag already exists, with any digest, and ``force`` is not set
    :raises Conflict: the registry refuses the import for another reason that may be over later
    :raises Prohibited: a lock on the target tag or its repository forbids the import
    :raises NotFound: the source or the registry does not exist
    :raises NetworkDenied: a registry's firewall blocks the import
    :raises Throttled: Azure is too busy, or the source registry limits Azure's pulls (``source_limit``). Repeat it with
        :func:`~pratique.azure.import_pacing.paced_import`
    :raises Unavailable: the answer was lost; check the tag before you try again
    :raises OperationFailed: the import failed
    """
    at = ResourceId.parse(registry.id)
    subject = f"{source.image} into {', '.join((*targets, *untagged_repositories))} of {registry.name}"
    request = models.ImportImageParameters(
        source=_source(source),
        target_tags=list(targets),
        untagged_target_repositories=list(untagged_repositories),
        mode=models.ImportMode.FORCE if force else models.ImportMode.NO_FORCE,
    )
    session = session.in_subscription(at.subscription)
    polling = ImportPolling(
        session.pace,
        durations_of(session.pace, registry.id, _attempt(source, registry).source),
        endpoint=session.cloud.resource_manager,
        poll_seconds=session.poll_seconds,
    )
    try:
        with azure_faults("import the image", subject):
            async with session.pace.turn("writes"), asyncio.timeout(IMPORT_DEADLINE_SECONDS):
                begin = session.registries.registries.begin_import_image
                # Before it is sent again, paced_import looks again.
                poller = await begin(at.group, at.name, request, polling=polling, retry_status=0)
                await poller.result()
    except (Conflict, OperationFailed, PermissionDenied, Throttled, Unavailable) as error:
        raise _import_error(error, source, targets, registry) from None


def _source(source: Upstream | Internal) -> models.ImportSource:
    if isinstance(source, Internal):
        return models.ImportSource(source_image=source.image, resource_id=source.resource_id)
    credentials = None
    if source.credentials is not None:
        credentials = models.ImportSourceCredentials(
            username=source.credentials.username, password=source.credentials.password
        )
    return models.ImportSource(source_image=source.image, registry_uri=source.registry_uri, credentials=credentials)


def _import_error(
    error: PratiqueError, source: Upstream | Internal, targets: Sequence[str], registry: Registry
) -> PratiqueError:
    """The error of a failed import: the service reports most causes as the same failed operation.

    A conflict is an existing tag only if the message says so of one of the targets.
    """
    message = error.observed.lower()
    if _BUSY.match(message):
        return error if isinstance(error, Throttled) else Throttled(*error.args)
    if isinstance(error, Unavailable):
        return error
    if TAG_EXISTS in message and any(target.lower() in message for target in targets):
        remedy = "Compare its digest: az acr repository show -n <registry> -t <repository:tag>"
        return TagExists(error.attempted, error.subject, error.observed, remedy)
    if is_locked_answer(error.observed):
        return Prohibited(error.attempted, error.subject, error.observed, LOCKED_STEP)
    if isinstance(error, Conflict):
        remedy = "Resolve what the message names, then run again. Nothing was imported."
        return Conflict(error.attempted, error.subject, error.observed, remedy)
    if _RIGHTS.search(message):
        remedy = f"{error.remedy} {import_right(registry.permissions)}"
        return type(error)(error.attempted, error.subject, error.observed, remedy)
    found = import_step(error.observed, _attempt(source, registry))
    if found is None:
        return error
    kind, remedy = found
    if isinstance(error, PermissionDenied) and kind is OperationFailed:
        return error  # Azure itself refused the request
    refused = kind(error.attempted, error.subject, error.observed, remedy)
    if isinstance(refused, Throttled):
        refused.source_limit = isinstance(source, Upstream)
    return refused


def _attempt(source: Upstream | Internal, registry: Registry) -> Import:
    if isinstance(source, Internal):
        return Import(source.resource_id, source.repository, registry.login_server)
    return Import(source.registry_uri, source.repository, registry.login_server, source.credentials is not None)


def _registry(found: models.Registry) -> Registry:
    properties = found.properties
    if not (found.id and found.name and properties and properties.login_server):
        raise UnreadableAnswer("find the registry", str(found.id), "It has no login server.", "Run again.")
    return Registry(
        id=found.id,
        name=found.name,
        login_server=properties.login_server.lower(),
        location=found.location,
        public_access=properties.public_network_access != "Disabled",
        permissions=_PERMISSIONS.get((properties.role_assignment_mode or "").lower(), "unknown"),
        premium=found.sku is None or enum_value(found.sku.name).lower() == "premium",
    )


def oci_client(session: AzureSession, http: httpx.AsyncClient, logins: Mapping[str, Login]) -> OciClient:
    """A client for all registries of a run.

    :param logins: credentials by source registry
    """
    suffix = session.cloud.acr_suffix
    return OciClient(http, Authenticator(http, logins=logins, entra=session.registry_token, acr_suffix=suffix))

"""A registry's replicas and its regional login servers, as Resource Manager shows them.

::

    regions = await replica_regions(session, registry)  # besides the home region
    found = await regional_servers(session, registry)
    found.server(registry, "eastus2", session.cloud.acr_suffix)

The status of a replica says nothing about an image, and neither does any other API: only its regional login server
shows what it serves. ``regionEndpointEnabled: false`` takes a replica out of the routing of the registry's global login
server; the replica keeps what it has, gets what is new, and stays reachable at its regional login server.

Facts: Microsoft.ContainerRegistry REST API 2025-11-01 (replications) and 2026-09-01-preview (``regionalEndpoints``,
``regionalEndpointHostNames``); Azure/azure-cli ``command_modules/acr``; Microsoft Learn, "Geo-replication in Azure
Container Registry". UNVERIFIED, so each form is accepted: whether the list of replicas has the home region in it;
whether an older API version is refused or leaves the property out; ``regionalEndpointEnabled``, the property's name in
the private preview; which regions the host names cover.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pratique.azure.documents import read_document
from pratique.azure.faults import azure_faults
from pratique.azure.lists import every_page
from pratique.azure.registries import Registry
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import (
    AuthenticationFailed,
    NetworkDenied,
    PermissionDenied,
    PratiqueError,
    TransientError,
    UnreadableAnswer,
)
from pratique.replicas import RegionalServer

READ_REPLICAS = "Microsoft.ContainerRegistry/registries/replications/read"
#: The API version that shows whether regional login servers are enabled.
PREVIEW = "2026-09-01-preview"
_SWITCHES = ("regionalendpoints", "regionalendpointenabled")
_HOST_NAMES = "regionalendpointhostnames"


@dataclass(frozen=True)
class RegionalServers:
    """A registry's regional login servers.

    :ivar reason: why there are none, or why that is not known; empty when they are enabled
    :ivar hosts: as Resource Manager lists them
    """

    reason: str = ""
    hosts: tuple[str, ...] = ()

    def server(self, registry: Registry, region: str, suffix: str) -> RegionalServer:
        """The login server of a region: the listed one, else the one of the documented form.

        A listed host is used only below the registry's own name, as tokens are sent to it.

        :param suffix: of login servers in this cloud
        """
        beginning = f"{registry.login_server.removesuffix(suffix)}.{region}."
        listed = (host for host in self.hosts if host.startswith(beginning) and host.endswith(suffix))
        return RegionalServer(region, next(listed, f"{beginning}geo{suffix}"))


async def replica_regions(session: AzureSession, registry: Registry) -> tuple[str, ...]:
    """The regions of a registry's replicas besides its home region, sorted. It takes one request.

    :raises PermissionDenied: without :data:`READ_REPLICAS`
    """
    if not registry.premium:
        return ()
    at, attempted = ResourceId.parse(registry.id), "list the registry's replicas"
    with azure_faults(attempted, registry.name):
        replications = session.in_subscription(at.subscription).registries.replications
        pages = replications.list(at.group, at.name, raw_response_hook=every_page(attempted, registry.name))
        listed = [
            # The name of a replica need not be that of its region.
            region_name(replica.location or "")
            async for replica in pages
            if replica.properties is None or enum_value(replica.properties.provisioning_state) != "Deleting"
        ]
    if not all(listed):
        raise UnreadableAnswer(attempted, registry.name, "A replica has no location.", "Run again.")
    return tuple(sorted({*listed} - {region_name(registry.location)}))


async def regional_servers(session: AzureSession, registry: Registry) -> RegionalServers:
    """Find out whether the registry's regional login servers are enabled. It takes one request.

    An API version that Azure refuses, or that does not show the property, is a reason and no error.
    """
    attempted = "read the registry's regional login servers"
    try:
        document = await read_document(session, attempted, registry.id, PREVIEW)
    except (TransientError, AuthenticationFailed, PermissionDenied, NetworkDenied):
        raise
    except PratiqueError as error:
        # Records keep the reason, so it has none of the numbers of this request.
        return RegionalServers(f"API version {PREVIEW} is refused ({error.observed.partition(':')[0]:.60})")
    properties = document.get("properties")
    return read_servers(properties if isinstance(properties, dict) else {})


def read_servers(properties: Mapping[str, Any]) -> RegionalServers:
    """The regional login servers that a registry's properties show, in any letter case."""
    named = {str(name).casefold(): value for name, value in properties.items()}
    switches = [value for name in _SWITCHES if isinstance(value := named.get(name), str | bool)]
    if not switches:
        return RegionalServers(f"API version {PREVIEW} does not show regional login servers")
    if str(switches[0]).casefold() not in ("enabled", "true"):
        return RegionalServers("the registry's regional login servers are not enabled")
    hosts = named.get(_HOST_NAMES)
    listed = hosts if isinstance(hosts, list) else []
    return RegionalServers(hosts=tuple(host.lower() for host in listed if isinstance(host, str)))


def region_name(location: str) -> str:
    """The short name of a region: ``East US 2`` is ``eastus2``."""
    return "".join(location.split()).lower()

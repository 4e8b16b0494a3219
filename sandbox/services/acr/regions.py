"""The regions of a registry: its replicas, and the host names and properties of its regional login servers.

``regionEndpointEnabled`` of a replica only says whether the global login server routes to it; its regional login server
is enabled with all others, by ``regionalEndpoints`` of the registry.

Sources: Microsoft.ContainerRegistry 2025-11-01 and 2026-09-01-preview; Azure/azure-cli ``command_modules/acr``;
Microsoft Learn, "Geo-replication in Azure Container Registry".
"""

from __future__ import annotations

import re

from sandbox.azure import Azure
from sandbox.core.errors import arm_fault
from sandbox.core.resources import Document
from sandbox.services.acr.models import LOGIN_SUFFIX, REGISTRY_TYPE

REPLICATION_TYPE = f"{REGISTRY_TYPE}/replications"
ENDPOINTS = "regionalEndpoints"
#: The first version of the API with :data:`ENDPOINTS`; stable ones do not have it.
ENDPOINTS_SINCE = "2026-01-01-preview"
_REGIONAL = re.compile(rf"([^.]+)\.([^.]+)\.geo{re.escape(LOGIN_SUFFIX)}")
DATA_SUFFIX = f".data{LOGIN_SUFFIX}"


def split_host(host: str) -> tuple[str, str]:
    """The login server that a host is, or belongs to, and the region of a regional one; else an empty text."""
    match = _REGIONAL.fullmatch(host)
    return (f"{match[1]}{LOGIN_SUFFIX}", match[2]) if match else (host, "")


def replications(azure: Azure, registry: Document) -> list[Document]:
    """The replicas of a registry, without its home region."""
    return azure.resources.list(REPLICATION_TYPE, registry["id"])


def regions(azure: Azure, registry: Document) -> list[str]:
    """The regions of a registry, its home region first."""
    return [registry["location"], *(replica["location"] for replica in replications(azure, registry))]


def has_servers(registry: Document) -> bool:
    """Whether the registry's regional login servers are enabled."""
    return bool(registry["properties"].get(ENDPOINTS) == "Enabled")


def knows_servers(api_version: str) -> bool:
    """Whether a version of the API knows regional login servers."""
    return api_version >= ENDPOINTS_SINCE and api_version.endswith("-preview")


def kept(document: Document, before: Document | None) -> Document:
    """A registry's document with the setting that it had, unless it has one.

    :raises HttpFault: when the registry's SKU has no regional login servers; how Azure words that is not known
    """
    properties = document["properties"]
    if before is not None and ENDPOINTS in before["properties"] and ENDPOINTS not in properties:
        document = {**document, "properties": {**properties, ENDPOINTS: before["properties"][ENDPOINTS]}}
    if has_servers(document) and document["sku"]["name"] != "Premium":
        raise arm_fault(400, "FeatureNotSupported", "Regional endpoints are available for Premium registries only.")
    return document


def shown(azure: Azure, document: Document, api_version: str) -> Document:
    """A registry's document as a version of the API shows it.

    :raises HttpFault: when the scenario lets no preview version answer
    """
    form = azure.scenario.replicas
    properties = {key: value for key, value in document["properties"].items() if key != ENDPOINTS}
    if knows_servers(api_version):
        if form.endpoints == "refused":
            raise arm_fault(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for location '{document['location']}' and API version "
                f"'{api_version}' for type 'registries'. The supported api-versions are '2025-11-01'.",
            )
        enabled = has_servers(document)
        if form.endpoints == "property":
            properties[ENDPOINTS] = "Enabled" if enabled else "Disabled"
        elif form.endpoints == "former-property":
            properties["regionalEndpointEnabled"] = enabled
        if form.endpoints != "absent" and form.host_names and enabled:
            name = document["properties"]["loginServer"].removesuffix(LOGIN_SUFFIX)
            hosts = [f"{name}.{region}.geo{LOGIN_SUFFIX}" for region in regions(azure, document)]
            properties["regionalEndpointHostNames"] = hosts
    return {**document, "properties": properties}

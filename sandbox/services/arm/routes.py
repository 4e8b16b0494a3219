"""Azure Resource Manager: clouds, subscriptions, groups, providers and lists of resources.

``arm`` answers for these; ``arm_generic``, which is matched last, reads resources without a service of their own.
Source: REST API, resources (api-version 2025-04-01) and subscriptions (2022-12-01).
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from sandbox.azure import Azure
from sandbox.core.errors import arm_fault, not_supported
from sandbox.core.rbac import contains
from sandbox.core.resources import Document
from sandbox.core.routing import Call, Service, answer
from sandbox.services.arm import listing
from sandbox.services.arm.ids import GROUP_TYPE, canonical, missing, parse, require_group
from sandbox.services.arm.providers import PROVIDERS, holds, provider_document
from sandbox.services.entra.state import AUTHORITY, arm_caller

HOST = "management.azure.com"
SUBSCRIPTION = "/subscriptions/{sub}"
GROUPS = SUBSCRIPTION + "/resourceGroups"
GROUP = GROUPS + "/{rg}"
SUBSCRIPTION_READ = "Microsoft.Resources/subscriptions/read"
GROUP_READ = "Microsoft.Resources/subscriptions/resourceGroups/read"
LOCATIONS = {"centralus": "Central US", "eastus": "East US", "eastus2": "East US 2", "westus2": "West US 2"}
#: Why a list needs no action.
LISTED = "checked: the list shows what the caller may read, and requires any role"
#: The first api-version of /metadata/endpoints that returns one cloud instead of a list of clouds.
ONE_CLOUD_SINCE = "2022-09-01"

clouds = Service("arm-metadata", (HOST,), api_versions=("2022-09-01",))
arm = Service(
    "arm", (HOST,), authenticate=arm_caller, api_versions=("2025-04-01", "2024-11-01", "2022-12-01", "2015-11-01")
)
arm_generic = Service("arm-generic", (HOST,), authenticate=arm_caller)


@clouds.get("/metadata/endpoints", unchecked="public, needs no token")
async def metadata_endpoints(call: Call) -> Response:
    """The endpoints of this cloud; public."""
    cloud = _cloud(call)
    return answer(cloud if call.query.get("api-version", "") >= ONE_CLOUD_SINCE else [cloud])


@arm.get("/tenants", unchecked="the list shows only the caller's tenant")
async def list_tenants(call: Call) -> Response:
    """The caller's directories: always one; az requests them when a person signs in without naming a tenant."""
    azure = call.azure
    tenant = {
        "id": f"/tenants/{azure.tenant_id}",
        "tenantId": azure.tenant_id,
        "displayName": "Local Azure",
        "tenantCategory": "Home",
        "tenantType": "AAD",
    }
    return answer({"value": [tenant]})


@arm.get("/subscriptions", unchecked="the list shows what the caller may see")
async def list_subscriptions(call: Call) -> Response:
    """The subscriptions in which the caller has any role."""
    own = [a.scope for a in call.azure.access.assignments() if a.principal_id == call.principal.object_id]
    found = [
        _subscription(call.azure, subscription)
        for subscription in call.azure.subscription_ids
        if any(
            contains(f"/subscriptions/{subscription}", at) or contains(at, f"/subscriptions/{subscription}")
            for at in own
        )
    ]
    return answer({"value": found, "count": _count(len(found))})


@arm.get(SUBSCRIPTION, action=SUBSCRIPTION_READ)
async def get_subscription(call: Call) -> Response:
    return answer(_subscription(call.azure, call.params["sub"].lower()))


@arm.get(SUBSCRIPTION + "/locations", action="Microsoft.Resources/subscriptions/locations/read")
async def list_locations(call: Call) -> Response:
    base = f"/subscriptions/{call.params['sub'].lower()}/locations"
    return answer(
        {
            "value": [
                {"id": f"{base}/{name}", "name": name, "type": "Region", "displayName": text}
                for name, text in LOCATIONS.items()
            ]
        }
    )


@arm.get(GROUPS, unchecked=LISTED)
async def list_groups(call: Call) -> Response:
    scope = _subscription_id(call)
    groups = [group for group in call.azure.resources.list(GROUP_TYPE, scope) if listing.may_read(call, group)]
    if not groups:
        listing.require_any_role(call, GROUP_READ, scope)
    return answer({"value": groups})


@arm.get(GROUP, action=GROUP_READ)
async def get_group(call: Call) -> Response:
    return answer(call.azure.resources.get(require_group(call.azure, call.params["sub"], call.params["rg"])))


@arm.head(GROUP, action=GROUP_READ)
async def check_group(call: Call) -> Response:
    return Response(status_code=204 if call.azure.resources.get(call.path) else 404)


@arm.put(GROUP, action="Microsoft.Resources/subscriptions/resourceGroups/write")
async def put_group(call: Call) -> Response:
    requested, name = call.json(), call.params["rg"]
    before = call.azure.resources.get(call.path)
    location = str(requested.get("location") or "").replace(" ", "").lower()
    if not location:
        raise arm_fault(400, "LocationRequired", "The location property is required for this definition.")
    if before is not None and before["location"] != location:
        message = (
            f"Invalid resource group location '{location}'. The Resource group already exists in location "
            f"'{before['location']}'."
        )
        raise arm_fault(409, "InvalidResourceGroupLocation", message)
    document: Document = {
        "id": before["id"] if before else f"{_subscription_id(call)}/resourceGroups/{name}",
        "name": before["name"] if before else name,
        "type": GROUP_TYPE,
        "location": location,
        "tags": requested.get("tags") or {},
        "properties": {"provisioningState": "Succeeded"},
    }
    return answer(call.azure.resources.put(document), 201 if before is None else 200)


@arm.get(SUBSCRIPTION + "/resources", unchecked=LISTED)
async def list_resources(call: Call) -> Response:
    return answer(listing.resource_list(call, _subscription_id(call)))


@arm.get(GROUP + "/resources", unchecked=LISTED)
async def list_group_resources(call: Call) -> Response:
    return answer(listing.resource_list(call, require_group(call.azure, call.params["sub"], call.params["rg"])))


@arm.get(SUBSCRIPTION + "/providers", action="Microsoft.Resources/subscriptions/providers/read")
async def list_providers(call: Call) -> Response:
    return answer({"value": [provider_document(call.params["sub"].lower(), name) for name in PROVIDERS]})


@arm.get(SUBSCRIPTION + "/providers/{namespace}", action="Microsoft.Resources/subscriptions/providers/read")
async def get_provider(call: Call) -> Response:
    return answer(_provider(call))


@arm.post(SUBSCRIPTION + "/providers/{namespace}/register", unchecked="checked: the provider's own action")
async def register_provider(call: Call) -> Response:
    provider = _provider(call)
    call.require(f"{provider['namespace']}/register/action", _subscription_id(call))
    return answer(provider)


@arm_generic.head(SUBSCRIPTION + "/{rest:path}", unchecked="checked: the resource type's own action")
async def check_any(call: Call) -> Response:
    """Whether a resource exists, of any provider."""
    resource = parse(call.path)
    if resource is None or resource.name is None or not holds(resource.type):
        raise not_supported(call.method, call.host, call.path)
    call.entry.action, call.entry.scope = f"{resource.type}/read", call.path
    call.require(f"{resource.type}/read", call.path)
    return Response(status_code=204 if call.azure.resources.get(call.path) else 404)


@arm_generic.get(SUBSCRIPTION + "/{rest:path}", unchecked="checked: the resource type's own action")
async def get_any(call: Call) -> Response:
    """One resource, or the resources of one type, of any provider."""
    resource = parse(call.path)
    if resource is None or not holds(resource.type):
        raise not_supported(call.method, call.host, call.path)
    call.entry.action, call.entry.scope = f"{resource.type}/read", call.path
    if resource.name is not None:
        call.require(f"{resource.type}/read", call.path)
        found = call.azure.resources.get(call.path)
        if found is None:
            raise missing(call.azure, call.path)
        return answer(listing.shown(call, found))
    nested = resource.type.count("/") > 1
    scope = canonical(call.azure, call.path.rstrip("/").rpartition("/")[0] if nested else resource.scope)
    listed = call.azure.resources.list(resource.type, scope)
    documents = [listing.shown(call, document) for document in listed if listing.may_read(call, document)]
    if not documents:
        listing.require_any_role(call, f"{resource.type}/read", scope)
    return answer({"value": documents})


def _subscription_id(call: Call) -> str:
    """ARM id of the subscription in the path."""
    return f"/subscriptions/{call.params['sub'].lower()}"


def _subscription(azure: Azure, subscription_id: str) -> dict[str, Any]:
    names = {one.id: one.name for one in azure.scenario.subscriptions}
    return {
        "id": f"/subscriptions/{subscription_id}",
        "subscriptionId": subscription_id,
        "tenantId": azure.tenant_id,
        "displayName": names.get(subscription_id, "Local Azure"),
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def _count(value: int) -> dict[str, Any]:
    return {"type": "Total", "value": value}


def _provider(call: Call) -> dict[str, Any]:
    namespace = call.params["namespace"]
    document = provider_document(call.params["sub"].lower(), namespace)
    if document is None:
        message = f"The resource namespace '{namespace}' is invalid."
        raise arm_fault(404, "InvalidResourceNamespace", message)
    return document


def _cloud(call: Call) -> dict[str, Any]:
    return {
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "resourceManager": f"https://{HOST}/",
        "graph": "https://graph.windows.net/",
        "graphAudience": "https://graph.windows.net/",
        "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "logAnalyticsResourceId": "https://api.loganalytics.io",
        "media": "https://rest.media.azure.net",
        "batch": "https://batch.core.windows.net/",
        "gallery": "https://gallery.azure.com/",
        "authentication": {
            "loginEndpoint": AUTHORITY,
            "audiences": ["https://management.core.windows.net/", f"https://{HOST}/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {
            "acrLoginServer": "azurecr.io",
            "keyVaultDns": "vault.azure.net",
            "mhsmDns": "managedhsm.azure.net",
            "sqlServerHostname": "database.windows.net",
            "storage": "core.windows.net",
        },
    }

"""A registry's replicas in Resource Manager.

Source: Microsoft.ContainerRegistry/registries/replications 2025-11-01. A replica is made and deleted at once; its
content follows as the scenario says.
"""

from __future__ import annotations

from starlette.responses import Response

from sandbox.core.errors import arm_fault, not_supported
from sandbox.core.resources import Document
from sandbox.core.routing import Call, Service, answer
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.services.acr.regions import REPLICATION_TYPE, replications

_READY = {"displayStatus": "Ready"}


def add_replications(provider: Service, registry_path: str) -> None:
    """Add the routes.

    :param registry_path: template of a registry's path
    """
    one, action = f"{registry_path}/replications/{{replica}}", REPLICATION_TYPE
    provider.get(f"{registry_path}/replications", action=f"{action}/read")(list_replications)
    provider.get(one, action=f"{action}/read")(get_replication)
    provider.put(one, action=f"{action}/write")(put_replication)
    provider.patch(one, action=f"{action}/write")(patch_replication)
    provider.delete(one, action=f"{action}/delete")(delete_replication)


async def list_replications(call: Call) -> Response:
    """All replicas, and the home region if the scenario says so."""
    return answer({"value": _listed(call)})


async def get_replication(call: Call) -> Response:
    name = call.params["replica"].lower()
    found = next((replica for replica in _listed(call) if replica["name"].lower() == name), None)
    if found is None:
        raise _missing(call, "replications", call.params["replica"])
    return answer(found)


async def put_replication(call: Call) -> Response:
    """Make a replica, or change it."""
    registry, body, before = _registry(call), call.json(), call.azure.resources.get(call.path)
    location = str(body.get("location") or "").replace(" ", "").lower()
    if registry["sku"]["name"] != "Premium":
        raise arm_fault(400, "FeatureNotSupported", "Geo-replication is available for Premium registries only.")
    if not location:
        raise arm_fault(400, "LocationRequired", "The location property is required for this definition.")
    others = {replica["location"] for replica in replications(call.azure, registry) if before != replica}
    if location in {registry["location"], *others}:
        raise arm_fault(409, "ReplicationAlreadyExists", f"The registry has a replica in '{location}' already.")
    properties = {"regionEndpointEnabled": True, "zoneRedundancy": "Disabled", **(body.get("properties") or {})}
    document = {
        "id": f"{registry['id']}/replications/{call.params['replica']}",
        "name": call.params["replica"],
        "type": REPLICATION_TYPE,
        "location": location,
        "tags": body.get("tags") or {},
        "properties": {**properties, "provisioningState": "Succeeded", "status": _READY},
    }
    return answer(call.azure.resources.put(document), 201 if before is None else 200)


async def patch_replication(call: Call) -> Response:
    """Change tags, or whether the global login server routes to the replica."""
    document, change = _replica(call), call.json()
    properties = {**document["properties"], **(change.get("properties") or {})}
    return answer(call.azure.resources.put({**document, **change, "properties": properties}))


async def delete_replication(call: Call) -> Response:
    _registry(call)
    return Response(status_code=204 if call.azure.resources.delete(call.path) is None else 200)


def _listed(call: Call) -> list[Document]:
    registry = _registry(call)
    home = {
        "id": f"{registry['id']}/replications/{registry['location']}",
        "name": registry["location"],
        "type": REPLICATION_TYPE,
        "location": registry["location"],
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            "status": _READY,
            "regionEndpointEnabled": True,
            "zoneRedundancy": registry["properties"].get("zoneRedundancy", "Disabled"),
        },
    }
    listed = call.azure.scenario.replicas.home_listed and registry["sku"]["name"] == "Premium"
    return [*([home] if listed else []), *replications(call.azure, registry)]


def _replica(call: Call) -> Document:
    registry, found = _registry(call), call.azure.resources.get(call.path)
    if found is None and call.params["replica"].lower() == registry["location"]:
        raise not_supported(call.method, call.host, call.path)
    if found is None:
        raise _missing(call, "replications", call.params["replica"])
    return found


def _registry(call: Call) -> Document:
    found = call.azure.resources.get(call.path.partition("/replications")[0])
    if found is None:
        raise _missing(call, "", call.params["name"])
    return found


def _missing(call: Call, kind: str, name: str) -> Exception:
    resource = "/".join(part for part in (REGISTRY_TYPE, kind) if part)
    return arm_fault(
        404,
        "ResourceNotFound",
        f"The Resource '{resource}/{name}' under resource group '{call.params['rg']}' was not found. For more details "
        "please go to https://aka.ms/ARMResourceNotFoundFix",
    )

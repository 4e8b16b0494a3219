"""Azure Container Registry: the resource provider in ARM, and the registries' hosts.

ARM's generic routes read and list registries, as they do for every type.

Source: Microsoft.ContainerRegistry 2025-11-01 (azure-mgmt-containerregistry 15).
"""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from sandbox.core.arrivals import ImageArrived
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.operations import Operation
from sandbox.core.resources import Document
from sandbox.core.routing import Call, Service, answer
from sandbox.services.acr import rights
from sandbox.services.acr.data import data_plane
from sandbox.services.acr.imports import (
    ImportRequest,
    check_conflicts,
    check_locks,
    check_target,
    copy,
    open_source,
    read_source,
)
from sandbox.services.acr.models import ABAC, LEGACY, MODE, REGISTRY_TYPE, completed, has_mode, patched
from sandbox.services.acr.regions import ENDPOINTS, kept, knows_servers, shown
from sandbox.services.acr.replications import add_replications
from sandbox.services.acr.state import Registries
from sandbox.services.arm import listing
from sandbox.services.entra.state import arm_caller

_PROVIDER = "/providers/Microsoft.ContainerRegistry"
_SUBSCRIPTION = "/subscriptions/{sub}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{rg}"
_REGISTRY = f"{_GROUP}{_PROVIDER}/registries/{{name}}"
_RESULT = f"{_SUBSCRIPTION}{_PROVIDER}/locations/{{location}}/operationResults/registries-{{operation}}"
_ACTION = REGISTRY_TYPE
POLLED = "knowing the operation's id is enough"
_FAILURE_STATUS = {"Conflict": 409, "Forbidden": 403}

provider = Service(
    "containerregistry",
    ("management.azure.com",),
    authenticate=arm_caller,
    api_versions=("2025-11-01", "2026-09-01-preview"),
)


def acr_services() -> list[Service]:
    """The resource provider and the login servers."""
    return [provider, data_plane()]


@provider.put(_REGISTRY, action=f"{_ACTION}/write")
async def put_registry(call: Call) -> Response:
    """Create a registry, or replace its settings and keep its content."""
    name, body = call.params["name"], call.json()
    if not re.fullmatch(r"[a-zA-Z0-9]{5,50}", name):
        raise arm_fault(400, "InvalidResourceName", f"The registry name '{name}' is not 5 to 50 letters and digits.")
    if call.azure.resources.get(_group_id(call)) is None:
        raise arm_fault(404, "ResourceGroupNotFound", f"Resource group '{call.params['rg']}' could not be found.")
    before, resource_id = call.azure.resources.get(call.path), f"{_group_id(call)}{_PROVIDER}/registries/{name}"
    taken = call.azure.state(Registries).resource(name)
    if before is None and taken is not None:
        raise arm_fault(409, "AlreadyInUse", f"The registry DNS name {name}.azurecr.io is already in use.")
    requested = {**_readable(call, body), "id": resource_id, "name": name, "type": REGISTRY_TYPE}
    document = kept(completed(call.azure.state(Registries).with_mode(requested, before)), before)
    return answer(_shown(call, call.azure.resources.put(document)), 201 if before is None else 200)


@provider.patch(_REGISTRY, action=f"{_ACTION}/write")
async def patch_registry(call: Call) -> Response:
    document = kept(patched(_registry(call), _readable(call, call.json())), None)
    return answer(_shown(call, call.azure.resources.put(document)))


@provider.delete(_REGISTRY, action=f"{_ACTION}/delete")
async def delete_registry(call: Call) -> Response:
    return Response(status_code=204 if call.azure.resources.delete(call.path) is None else 200)


def _readable(call: Call, body: Document) -> Document:
    """The body without what the request's version of the API does not know."""
    properties = body.get("properties") or {}
    if ENDPOINTS in properties and not knows_servers(call.query.get("api-version", "")):
        properties = {key: value for key, value in properties.items() if key != ENDPOINTS}
        body = {**body, "properties": properties}
    if properties.get(ENDPOINTS, "Enabled") not in ("Enabled", "Disabled"):
        raise arm_fault(400, "InvalidRequestContent", f"The value of '{ENDPOINTS}' is invalid.")
    if MODE not in properties:
        return body
    if not has_mode(call.query.get("api-version", "")):
        return {**body, "properties": {key: value for key, value in properties.items() if key != MODE}}
    if properties[MODE] not in (LEGACY, ABAC):
        raise arm_fault(400, "InvalidRequestContent", f"The value '{properties[MODE]}' of '{MODE}' is invalid.")
    return body


def _shown(call: Call, document: Document) -> Document:
    """A registry as the request's version of the API shows it."""
    document = shown(call.azure, document, call.query.get("api-version", ""))
    if has_mode(call.query.get("api-version", "")) and call.azure.scenario.registry_permissions.shown:
        return document
    properties = {key: value for key, value in document["properties"].items() if key != MODE}
    return {**document, "properties": properties}


listing.show_as(REGISTRY_TYPE, _shown)
add_replications(provider, _REGISTRY)


def _importing(call: Call) -> str:
    return call.path.rstrip("/").rpartition("/")[0]


@provider.post(f"{_REGISTRY}/importImage", action=f"{_ACTION}/importImage/action", scope=_importing)
async def import_image(call: Call) -> Response:
    """Accept an import, and complete it after :attr:`.Timings.import_image` seconds of Azure's time."""
    registry, body = _registry(call), call.json()
    request = ImportRequest.read(body)
    rights.check_target(call, registry, request.repositories)
    source = open_source(call, body, request, registry)
    store = call.azure.state(Registries).store(registry["name"])
    check_locks(call, store, request)

    async def work(operation: Operation) -> None:
        check_target(registry)
        check_conflicts(store, request)
        manifests = read_source(source, request)
        await call.azure.clock.sleep(call.azure.scenario.timings.import_image)
        check_conflicts(store, request)
        past_locks = call.azure.scenario.registry_locks.forced_imports == "move"
        copy(source, request, manifests, store, past_locks=past_locks)
        for repository, tag in (*request.tagged, *((name, None) for name in request.untagged)):
            _arrived(call, registry, repository, tag, manifests[-1].digest, source.label)

    operation = call.azure.operations.start("import", registry["id"], work)
    return Response(status_code=202, headers=_poll_headers(call, registry["location"], operation.id))


@provider.get(_RESULT, unchecked=POLLED)
async def operation_result(call: Call) -> Response:
    operation = call.azure.operations.get(call.params["operation"])
    if operation is None or operation.kind != "import":
        raise arm_fault(404, "OperationNotFound", f"There is no operation '{call.params['operation']}'.")
    if operation.status == "Running":
        return Response(status_code=202, headers=_poll_headers(call, call.params["location"], operation.id))
    if operation.status == "Succeeded":
        return Response(status_code=200)
    raise _failure(operation)


def _registry(call: Call) -> Document:
    resource_id = f"{_group_id(call)}{_PROVIDER}/registries/{call.params['name']}"
    found = call.azure.resources.get(resource_id)
    if found is None:
        raise arm_fault(
            404,
            "ResourceNotFound",
            f"The Resource '{REGISTRY_TYPE}/{call.params['name']}' under resource group '{call.params['rg']}' was not "
            "found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )
    return found


def _group_id(call: Call) -> str:
    return f"/subscriptions/{call.params['sub']}/resourceGroups/{call.params['rg']}"


def _arrived(call: Call, registry: Document, repository: str, tag: str | None, digest: str, origin: str) -> None:
    registries = call.azure.state(Registries)
    size = registries.store(registry["name"]).manifest(repository, digest).manifest.size
    registries.report(
        call,
        registry,
        "importImage",
        repository,
        caller=call.principal,
        tag=tag or "",
        digest=digest,
        media_type=origin,
        size=size,
    )
    now = call.azure.clock.now()
    call.azure.events.emit(
        ImageArrived(registry_id=registry["id"], repository=repository, tag=tag, digest=digest, time=now, kind="import")
    )


def _poll_headers(call: Call, location: str, operation_id: str) -> dict[str, str]:
    version = call.query.get("api-version", "2025-11-01")
    path = f"/subscriptions/{call.params['sub']}{_PROVIDER}/locations/{location}"
    url = call.url(f"{path}/operationResults/registries-{operation_id}?api-version={version}")
    return {"Location": url, **call.azure.clock.retry_after(call.azure.scenario.timings.poll)}


def _failure(operation: Operation) -> HttpFault:
    error: dict[str, Any] = operation.error or {"code": "Canceled", "message": "The operation was canceled."}
    text = f"Operation registries-{operation.id} failed. Resource {operation.subject} {error['message']}"
    return arm_fault(_FAILURE_STATUS.get(error["code"], 400), error["code"], text)

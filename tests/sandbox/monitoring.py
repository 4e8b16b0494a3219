"""What the tests of logs and alerts share: a workspace, a diagnostic setting, and queries."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
from azure.identity.aio import EnvironmentCredential

from sandbox.core.resources import Document
from sandbox.services.acr.models import RepositoryEvent
from sandbox.services.loganalytics.state import DIAGNOSTICS_TYPE, WORKSPACE_TYPE
from sandbox.services.loganalytics.tables import REPOSITORY_EVENTS
from sandbox.tenant import CLUSTER_GROUP, LOCATION, group_id

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox

API = "https://api.loganalytics.io"
EVENTS = REPOSITORY_EVENTS.name


def put(sandbox: RunningSandbox, document: Document) -> Document:
    """A resource that simply stands there."""

    async def work() -> Document:
        return sandbox.azure.resources.put(document)

    return sandbox.run(work())


def delete(sandbox: RunningSandbox, resource_id: str) -> None:
    async def work() -> None:
        sandbox.azure.resources.delete(resource_id)

    sandbox.run(work())


def add_workspace(sandbox: RunningSandbox, name: str = "la-test") -> Document:
    resource_id = f"{group_id(sandbox.azure, CLUSTER_GROUP)}/providers/{WORKSPACE_TYPE}/{name}"
    properties = {"customerId": str(uuid.uuid4())}
    return put(
        sandbox,
        {"id": resource_id, "name": name, "type": WORKSPACE_TYPE, "location": LOCATION, "properties": properties},
    )


def add_setting(
    sandbox: RunningSandbox,
    resource: Document,
    workspace: Document,
    *,
    category: str = EVENTS,
    enabled: bool = True,
    name: str = "default",
) -> Document:
    """A diagnostic setting of one category."""
    logs = [{"category": category, "enabled": enabled}]
    return put(
        sandbox,
        {
            "id": f"{resource['id']}/providers/{DIAGNOSTICS_TYPE}/{name}",
            "name": name,
            "type": DIAGNOSTICS_TYPE,
            "properties": {"workspaceId": workspace["id"], "logs": logs},
        },
    )


def happen(sandbox: RunningSandbox, registry: Document, repository: str, **more: Any) -> None:
    """An import into a registry, without the import."""

    async def work() -> None:
        now = sandbox.azure.clock.now()
        sandbox.azure.events.emit(event(now, registry, repository, **more))

    sandbox.run(work())


def event(time: datetime, registry: Document, repository: str, **more: Any) -> RepositoryEvent:
    values: dict[str, Any] = {
        "time": time,
        "registry_id": registry["id"],
        "login_server": f"{registry['name']}.azurecr.io",
        "region": LOCATION,
        "operation": "importImage",
        "repository": repository,
        "tag": "1",
        "digest": "sha256:" + "0" * 64,
        "media_type": "docker.io/library/busybox:1",
        "size": 1234,
        "identity": "i",
        "address": "203.0.113.10",
        "user_agent": "a test",
        "correlation_id": "c",
        "duration": 1.5,
    }
    return RepositoryEvent(**{**values, **more})


async def ask(path: str, body: dict[str, Any], api: str = API, **headers: str) -> httpx.Response:
    """POST with the pipeline's own token."""
    async with EnvironmentCredential() as credential, httpx.AsyncClient() as http:
        token = await credential.get_token(f"{api}/.default")
        return await http.post(api + path, json=body, headers={"Authorization": f"Bearer {token.token}", **headers})


async def rows(workspace: Document, query: str = EVENTS, **body: Any) -> list[dict[str, Any]]:
    """The rows of a query over a workspace, by column."""
    answer = await ask(f"/v1/workspaces/{workspace['properties']['customerId']}/query", {"query": query, **body})
    assert answer.status_code == 200, answer.text
    [table] = answer.json()["tables"]
    return [dict(zip((column["name"] for column in table["columns"]), row, strict=True)) for row in table["rows"]]

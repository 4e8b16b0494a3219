"""What the tests of the registries share: a registry in the cluster's group, identities, and clients for both."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import httpx

from sandbox.core.rbac import Principal
from sandbox.core.resources import Document
from sandbox.services.acr.models import REGISTRY_TYPE, completed
from sandbox.services.acr.state import Registries
from sandbox.services.entra.state import Application, Entra
from sandbox.services.oci.images import ImageSpec
from sandbox.services.oci.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from sandbox.services.oci.store import RegistryStore
from sandbox.services.public_registries.state import PublicRegistries
from sandbox.tenant import CLUSTER_GROUP, LOCATION, group_id

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox

MANIFESTS = {"Accept": ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))}
SECRET = "a-secret-of-a-test"
BY_REFRESH_TOKEN = "00000000-0000-0000-0000-000000000000"


def registry_id(sandbox: RunningSandbox, name: str) -> str:
    return f"{group_id(sandbox.azure, CLUSTER_GROUP)}/providers/{REGISTRY_TYPE}/{name}"


def add_registry(sandbox: RunningSandbox, name: str, **properties: object) -> Document:
    """A registry that simply stands there."""

    async def put() -> Document:
        document = {"id": registry_id(sandbox, name), "name": name, "type": REGISTRY_TYPE, "location": LOCATION}
        return sandbox.azure.resources.put(completed({**document, "properties": properties}))

    return sandbox.run(put())


def add_identity(sandbox: RunningSandbox, *roles: str, registry: str) -> Principal:
    """A service principal with :data:`SECRET` and roles that already count, on one registry."""
    client_id = str(uuid.uuid4())
    principal = Principal(str(uuid.uuid4()), "ServicePrincipal", "sp-test", client_id)
    azure = sandbox.azure
    azure.access.add_principal(principal)
    azure.state(Entra).register(Application(client_id, frozenset({SECRET})))
    for role in roles:
        scope = registry_id(sandbox, registry)
        azure.access.assign(role=role, principal_id=principal.object_id, scope=scope, at_once=True)
    return principal


def content(sandbox: RunningSandbox, name: str) -> RegistryStore:
    """What a registry of the subscription holds."""
    return sandbox.azure.state(Registries).store(name)


def publish(sandbox: RunningSandbox, spec: ImageSpec) -> str:
    """Put an image upstream and return its digest."""

    async def put() -> str:
        return sandbox.azure.state(PublicRegistries).publish(spec).digest

    return sandbox.run(put())


async def hub_token(http: httpx.AsyncClient, repository: str, auth: tuple[str, str] | None = None) -> dict[str, str]:
    """Authorization for Docker Hub."""
    query = {"service": "registry.docker.io", "scope": f"repository:{repository}:pull"}
    answer = await http.get("https://auth.docker.io/token", params=query, auth=auth)
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def entra_token(http: httpx.AsyncClient, sandbox: RunningSandbox, principal: Principal, resource: str) -> str:
    """An Entra access token of a test's identity."""
    form = {
        "grant_type": "client_credentials",
        "client_id": principal.client_id,
        "client_secret": SECRET,
        "scope": f"{resource}/.default",
    }
    url = f"https://login.microsoftonline.com/{sandbox.azure.tenant_id}/oauth2/v2.0/token"
    answer = await http.post(url, data=form)
    answer.raise_for_status()
    token: str = answer.json()["access_token"]
    return token


async def acr_token(http: httpx.AsyncClient, host: str, principal: Principal, scope: str) -> dict[str, str]:
    """Authorization for a login server, with the identity's own secret."""
    answer = await http.get(
        f"https://{host}/oauth2/token",
        params={"service": host, "scope": scope},
        auth=(principal.client_id or "", SECRET),
    )
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def finished(http: httpx.AsyncClient, answer: httpx.Response, headers: dict[str, str]) -> httpx.Response:
    """Poll a long-running operation to its end."""
    assert answer.status_code == 202, answer.text
    while answer.status_code == 202:
        await asyncio.sleep(float(answer.headers["x-ms-retry-after-ms"]) / 1000)
        answer = await http.get(answer.headers["Location"], headers=headers)
    return answer

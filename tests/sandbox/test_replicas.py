"""Replicas of registries: their resources, regional login servers, and what arrives there when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import Replication, ReplicationProperties

from sandbox.replicas import Replicas
from sandbox.scenario import Client, Identity, Scenario, Timings
from tests.sandbox.callers import arm, jump, owner
from tests.sandbox.registries import MANIFESTS, acr_token, add_identity, add_registry, registry_id
from tests.sandbox.test_acr import ARRIVED, FROM_GITHUB, KURED, NAME, management, run_import
from tests.waiting import UNTIL_A_JUMP

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

PREVIEW, STABLE = "2026-09-01-preview", "2025-11-01"
EAST, HOME = f"{NAME}.eastus2.geo.azurecr.io", f"{NAME}.centralus.geo.azurecr.io"
SCOPE = f"repository:{ARRIVED}:pull"


def replicated(start: StartSandbox, **replicas: Any) -> RunningSandbox:
    """A registry with a replica and regional login servers."""
    sandbox = start(Scenario(replicas=Replicas.model_validate(replicas), timings=Timings(import_image=0)))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled", regionalEndpoints="Enabled")
    with arm(sandbox, owner(sandbox)) as client:
        path = f"{registry_id(sandbox, NAME)}/replications/east?api-version={STABLE}"
        client.put(path, json={"location": "East US 2"}).raise_for_status()
    return sandbox


async def filled(sandbox: RunningSandbox) -> None:
    async with management(sandbox) as client:
        await run_import(client, FROM_GITHUB, f"{ARRIVED}:1.14.0")


async def reader(http: httpx.AsyncClient, sandbox: RunningSandbox, host: str = EAST) -> dict[str, str]:
    return await acr_token(http, host, add_identity(sandbox, "AcrPull", registry=NAME), SCOPE)


async def served(http: httpx.AsyncClient, login: dict[str, str], host: str = EAST) -> dict[str, bool]:
    """Which parts of the image a login server has: the index, the manifests below it, their blobs."""

    async def has(kind: str, *digests: str) -> bool:
        urls = [f"https://{host}/v2/{ARRIVED}/{kind}/{digest}" for digest in digests]
        answers = [await http.head(url, headers=login | MANIFESTS) for url in urls]
        (status,) = {answer.status_code for answer in answers}
        return {200: True, 404: False}[status]

    children = [manifest for manifest in KURED.manifests if not manifest.is_index]
    blobs = [blob.digest for manifest in children for blob in manifest.blobs]
    return {
        "tag": await has("manifests", "1.14.0"),
        "index": await has("manifests", KURED.index.digest),
        "manifests": await has("manifests", *(manifest.digest for manifest in children)),
        "blobs": await has("blobs", *blobs),
    }


async def test_replicas_are_made_listed_changed_and_deleted(sandbox: RunningSandbox) -> None:
    """By the official SDK. The list has the home region in it; a second replica in a region is refused."""
    add_registry(sandbox, NAME)
    group = registry_id(sandbox, NAME).split("/")[4]
    async with management(sandbox) as client:
        body = Replication(location="East US 2")
        made = await (await client.replications.begin_create(group, NAME, "east", body)).result()
        assert (made.name, made.location) == ("east", "eastus2")
        assert made.properties is not None
        assert (made.properties.region_endpoint_enabled, made.properties.provisioning_state) == (True, "Succeeded")
        assert await regions(client, group) == ["centralus", "eastus2"]
        with pytest.raises(HttpResponseError, match="already"):
            await client.replications.begin_create(group, NAME, "other", body)
        change = {"properties": {"regionEndpointEnabled": False}}
        changed = await (await client.replications.begin_update(group, NAME, "east", change)).result()
        assert isinstance(changed.properties, ReplicationProperties)
        assert changed.properties.region_endpoint_enabled is False
        assert (await client.replications.get(group, NAME, "centralus")).location == "centralus"
        await (await client.replications.begin_delete(group, NAME, "east")).result()
        assert await regions(client, group) == ["centralus"]


async def regions(client: ContainerRegistryManagementClient, group: str) -> list[str]:
    return [str(replica.location) async for replica in client.replications.list(group, NAME)]


def test_a_list_without_the_home_region(start_sandbox: StartSandbox) -> None:
    """It is not documented whether the home region is in the list."""
    sandbox = replicated(start_sandbox, home_listed=False)
    with arm(sandbox) as client:
        listed = client.get(f"{registry_id(sandbox, NAME)}/replications?api-version={STABLE}").json()["value"]
    assert [replica["location"] for replica in listed] == ["eastus2"]


def test_only_premium_registries_have_replicas(sandbox: RunningSandbox) -> None:
    """Nor do others have regional login servers."""
    with arm(sandbox, owner(sandbox)) as client:
        path = registry_id(sandbox, NAME)
        body = {"location": "centralus", "sku": {"name": "Standard"}}
        client.put(f"{path}?api-version={STABLE}", json=body).raise_for_status()
        made = client.put(f"{path}/replications/east?api-version={STABLE}", json={"location": "eastus2"})
        body = {"properties": {"regionalEndpoints": "Enabled"}}
        enabled = client.patch(f"{path}?api-version={PREVIEW}", json=body)
        listed = client.get(f"{path}/replications?api-version={STABLE}").json()["value"]
    assert (made.status_code, enabled.status_code, listed) == (400, 400, [])


def test_the_list_takes_a_right(start_sandbox: StartSandbox) -> None:
    """Without it the answer is a refusal, and no empty list."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=("AcrPull",), subscription_roles=(), network_roles=())))
    add_registry(sandbox, NAME)
    with arm(sandbox) as client:
        refused = client.get(f"{registry_id(sandbox, NAME)}/replications?api-version={STABLE}")
    assert refused.status_code == 403
    assert "registries/replications/read" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ({}, {"regionalEndpoints": "Enabled", "regionalEndpointHostNames": [HOME, EAST]}),
        ({"host_names": False}, {"regionalEndpoints": "Enabled"}),
        (
            {"endpoints": "former-property"},
            {"regionalEndpointEnabled": True, "regionalEndpointHostNames": [HOME, EAST]},
        ),
        ({"endpoints": "absent"}, {}),
        ({"endpoints": "refused"}, None),
    ],
)
def test_forms_of_the_property(start_sandbox: StartSandbox, form: dict[str, Any], shown: dict[str, Any] | None) -> None:
    """Only preview versions show it, and stable ones change nothing about it."""
    sandbox = replicated(start_sandbox, **form)
    path = registry_id(sandbox, NAME)
    with arm(sandbox, owner(sandbox)) as client:
        body = {"properties": {"regionalEndpoints": "Disabled"}, "tags": {"a": "b"}}
        assert client.patch(f"{path}?api-version={STABLE}", json=body).status_code == 200
        stable = client.get(f"{path}?api-version={STABLE}").json()
        found = client.get(f"{path}?api-version={PREVIEW}")
    assert not [name for name in stable["properties"] if name.startswith("regional")]
    if shown is None:
        assert (found.status_code, found.json()["error"]["code"]) == (400, "NoRegisteredProviderFound")
    else:
        properties = found.json()["properties"]
        assert {name: value for name, value in properties.items() if name.startswith("regional")} == shown


@pytest.mark.parametrize("challenge", ["regional", "global"])
async def test_a_regional_login_server(start_sandbox: StartSandbox, challenge: str) -> None:
    """It gives tokens, which are good at every login server of the registry, and serves what the replica has."""
    sandbox = replicated(start_sandbox, challenge=challenge)
    async with httpx.AsyncClient() as http:
        await filled(sandbox)
        refused = await http.get(f"https://{EAST}/v2/")
        realm = EAST if challenge == "regional" else f"{NAME}.azurecr.io"
        assert f'realm="https://{realm}/oauth2/token",service="{realm}"' in refused.headers["www-authenticate"]
        login = await reader(http, sandbox)
        for host in (EAST, HOME, f"{NAME}.azurecr.io"):
            assert all((await served(http, login, host)).values())
        tags = await http.get(f"https://{EAST}/v2/{ARRIVED}/tags/list", headers=login)
        assert tags.json()["tags"] == ["1.14.0"]


@pytest.mark.parametrize(
    ("arrival", "parts"),
    [
        ("whole", {"tag": True, "index": True, "manifests": True, "blobs": True}),
        ("index-first", {"tag": True, "index": True, "manifests": False, "blobs": False}),
        ("manifests-first", {"tag": True, "index": True, "manifests": True, "blobs": False}),
    ],
)
async def test_what_arrives_when(start_sandbox: StartSandbox, arrival: str, parts: dict[str, bool]) -> None:
    """Nothing before the lag is over, then what arrives first, and in the end everything; the home region has it."""
    sandbox = replicated(start_sandbox, lag={"eastus2": UNTIL_A_JUMP}, arrival=arrival, rest=UNTIL_A_JUMP)
    async with httpx.AsyncClient() as http:
        await filled(sandbox)
        login = await reader(http, sandbox)
        assert not any((await served(http, login)).values())
        assert all((await served(http, login, HOME)).values())
        await asyncio.to_thread(jump, sandbox, UNTIL_A_JUMP)
        assert await served(http, login) == parts
        await asyncio.to_thread(jump, sandbox, UNTIL_A_JUMP)
        assert all((await served(http, login)).values())


async def test_what_never_arrives(start_sandbox: StartSandbox) -> None:
    """However long one waits, until the scenario says otherwise; what is deleted is gone everywhere at once."""
    sandbox = replicated(start_sandbox, lag={"eastus2": "never"})
    async with httpx.AsyncClient() as http:
        await filled(sandbox)
        login = await reader(http, sandbox)
        await asyncio.to_thread(jump, sandbox, UNTIL_A_JUMP)
        assert not any((await served(http, login)).values())
        sandbox.azure.scenario = sandbox.azure.scenario.model_copy(update={"replicas": Replicas()})
        assert all((await served(http, login)).values())
        await asyncio.to_thread(sandbox.control, "POST", "/purge", json={"repositories": "*"})
        parts = await served(http, login)
        assert (parts["index"], parts["manifests"]) == (True, False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"/v2/{ARRIVED}/manifests/2"),
        ("POST", f"/v2/{ARRIVED}/blobs/uploads/"),
        ("GET", f"/v2/{ARRIVED}/blobs/uploads/1"),
        ("DELETE", f"/v2/{ARRIVED}/manifests/{KURED.index.digest}"),
        ("GET", f"/acr/v1/{ARRIVED}"),
    ],
)
async def test_what_a_regional_login_server_does_not_do_here(
    start_sandbox: StartSandbox, method: str, path: str
) -> None:
    """It is refused by name, and so is a data endpoint."""
    replicated(start_sandbox)
    async with httpx.AsyncClient() as http:
        refused = await http.request(method, f"https://{EAST}{path}")
        assert (refused.status_code, "does not support" in refused.text) == (501, True)
        data = await http.get(f"https://{NAME}.eastus2.data.azurecr.io/v2/{ARRIVED}/blobs/{KURED.index.digest}")
        assert (data.status_code, "does not support" in data.text) == (501, True)


@pytest.mark.parametrize("host", [f"{NAME}.westus2.geo.azurecr.io", "acrnone.eastus2.geo.azurecr.io"])
async def test_a_region_without_a_replica(start_sandbox: StartSandbox, host: str) -> None:
    """There is no such server; in Azure the name would not resolve."""
    replicated(start_sandbox)
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"https://{host}/v2/")).status_code == 404


async def test_a_private_link_without_regional_servers(start_sandbox: StartSandbox) -> None:
    """A client may reach the registry and none of its regional login servers; a proxy may deny them."""
    replicated(start_sandbox, private=False)
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"https://{NAME}.azurecr.io/v2/")).status_code == 401
        refused = await http.get(f"https://{EAST}/v2/")
        assert (refused.status_code, "is not allowed access" in refused.text) == (403, True)


def test_a_blocked_host(start_sandbox: StartSandbox) -> None:
    """A network's proxy denies regional login servers by a pattern."""
    sandbox = start_sandbox(Scenario(client=Client(blocked=frozenset({"*.geo.azurecr.io"}))))
    add_registry(sandbox, NAME, regionalEndpoints="Enabled")
    with httpx.Client() as client, pytest.raises(httpx.ProxyError, match="403"):
        client.get(f"https://{HOME}/v2/")

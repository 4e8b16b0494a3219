"""A registry's replicas and its regional login servers, in every form in which Azure may show them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pratique.azure.registries import Registry, get_registry
from pratique.azure.replications import (
    READ_REPLICAS,
    RegionalServers,
    read_servers,
    region_name,
    regional_servers,
    replica_regions,
)
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied, Unavailable, UnreadableAnswer
from pratique.replicas import RegionalServer
from sandbox.core.rbac import RoleDefinition
from sandbox.replicas import Replicas
from sandbox.scenario import Identity, Scenario
from sandbox.services.acr.regions import REPLICATION_TYPE
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import group
from tests.sandbox.registries import add_registry, registry_id

NAME = "acraksabc"
READ = "Microsoft.ContainerRegistry/registries/read"


def replicated(start: StartSandbox, *regions: str, setting: str = "Enabled", **replicas: Any) -> RunningSandbox:
    sandbox = start(Scenario(replicas=Replicas.model_validate(replicas)))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled", regionalEndpoints=setting)
    for number, region in enumerate(regions):
        add_replica(sandbox, f"replica{number}", region)
    return sandbox


def add_replica(sandbox: RunningSandbox, name: str, location: str, state: str = "Succeeded") -> None:
    async def put() -> None:
        sandbox.azure.resources.put(
            {
                "id": f"{registry_id(sandbox, NAME)}/replications/{name}",
                "name": name,
                "type": REPLICATION_TYPE,
                "location": location,
                "properties": {"provisioningState": state, "regionEndpointEnabled": False},
            }
        )

    sandbox.run(put())


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[AzureSession, Registry]]:
    async with AzureSession.open(poll_seconds=0.02) as session:
        yield session, await get_registry(session, NAME)


def lists(sandbox: RunningSandbox) -> int:
    return len([entry for entry in sandbox.azure.requests.since(0) if entry.path.endswith("/replications")])


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    ("locations", "regions"), [((), ()), (("westus2", "East US 2"), ("eastus2", "westus2"))], ids=["none", "two"]
)
async def test_regions(
    start_sandbox: StartSandbox, listed: bool, locations: tuple[str, ...], regions: tuple[str, ...]
) -> None:
    """Those of locations, not of names, without the home region, and out of the global routing as well."""
    sandbox = replicated(start_sandbox, *locations, home_listed=listed)
    async with connected() as (session, registry):
        assert await replica_regions(session, registry) == regions
    assert lists(sandbox) == 1


async def test_a_replica_that_is_being_deleted(start_sandbox: StartSandbox) -> None:
    """It gets nothing any longer; one that is being made counts."""
    sandbox = replicated(start_sandbox)
    add_replica(sandbox, "old", "eastus", "Deleting")
    add_replica(sandbox, "new", "westus2", "Creating")
    async with connected() as (session, registry):
        assert await replica_regions(session, registry) == ("westus2",)


async def test_a_registry_that_is_not_premium(start_sandbox: StartSandbox) -> None:
    """It has no replicas, which takes no request."""
    sandbox = start_sandbox()
    document = add_registry(sandbox, NAME)

    async def change() -> None:
        sandbox.azure.resources.put({**document, "sku": {"name": "Standard", "tier": "Standard"}})

    sandbox.run(change())
    async with connected() as (session, registry):
        assert not registry.premium
        assert await replica_regions(session, registry) == ()
    assert lists(sandbox) == 0


async def test_a_missing_right(start_sandbox: StartSandbox) -> None:
    """It is an error that names it, and never taken for a registry without replicas."""
    identity = Identity(roles=(), subscription_roles=(), network_roles=())
    sandbox = start_sandbox(Scenario(identity=identity))
    add_registry(sandbox, NAME)
    access = sandbox.azure.access
    access.roles["reader"] = RoleDefinition(guid="reader", name="Reader of registries", actions=(READ,))
    access.assign(role="reader", principal_id=identity.object_id, scope=group(sandbox), at_once=True)
    async with connected() as (session, registry):
        with pytest.raises(PermissionDenied, match=READ_REPLICAS):
            await replica_regions(session, registry)


async def test_a_replica_without_a_location(start_sandbox: StartSandbox) -> None:
    """Nobody knows where it is, so nobody could wait for it."""
    replicated(start_sandbox, "")
    async with connected() as (session, registry):
        with pytest.raises(UnreadableAnswer, match="location"):
            await replica_regions(session, registry)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({}, ""),
        ({"host_names": False}, ""),
        ({"endpoints": "former-property"}, ""),
        ({"endpoints": "absent"}, "does not show"),
        ({"endpoints": "refused"}, "is refused (400 NoRegisteredProviderFound)"),
    ],
)
async def test_whether_regional_servers_are_enabled(
    start_sandbox: StartSandbox, form: dict[str, Any], reason: str
) -> None:
    """By each form of the property. A refused version of the API is a reason, in the same words each time."""
    replicated(start_sandbox, "eastus2", **form)
    async with connected() as (session, registry):
        found = await regional_servers(session, registry)
        assert reason in found.reason
        assert (found.reason == "") == (reason == "")
        assert found == await regional_servers(session, registry)
        if not reason:
            server = found.server(registry, "eastus2", session.cloud.acr_suffix)
            assert server == RegionalServer("eastus2", f"{NAME}.eastus2.geo.azurecr.io")


async def test_regional_servers_that_are_not_enabled(start_sandbox: StartSandbox) -> None:
    """Azure's default."""
    replicated(start_sandbox, "eastus2", setting="Disabled")
    async with connected() as (session, registry):
        assert "are not enabled" in (await regional_servers(session, registry)).reason


@pytest.mark.parametrize(("status", "kind"), [(403, PermissionDenied), (503, Unavailable)])
async def test_a_refusal_that_is_not_about_the_version(
    start_sandbox: StartSandbox, status: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error: nobody knows whether replicas can be looked at."""
    monkeypatch.setattr("pratique.azure.session.RETRIES", 0)
    sandbox = replicated(start_sandbox, "eastus2")
    async with connected() as (session, registry):
        sandbox.azure.faults.add(kind="status", status=status, path=f"*/registries/{NAME}", times=None)
        with pytest.raises(kind):
            await regional_servers(session, registry)


@pytest.mark.parametrize(
    ("properties", "enabled"),
    [
        ({"regionalEndpoints": "Enabled"}, True),
        ({"RegionalEndpoints": "enabled"}, True),
        ({"regionalEndpointEnabled": True}, True),
        ({"regionalEndpointEnabled": "true"}, True),
        ({"regionalEndpoints": "Disabled", "regionalEndpointHostNames": ["x.eastus2.geo.azurecr.io"]}, False),
        ({"regionalEndpointEnabled": False}, False),
        ({"regionalEndpoints": "Updating"}, False),
        ({"regionalEndpoints": None}, False),
        ({"regionalEndpoints": {}}, False),
        ({}, False),
    ],
)
def test_forms_of_the_property(properties: dict[str, Any], enabled: bool) -> None:
    """Only a clear word counts as enabled."""
    assert (read_servers(properties).reason == "") is enabled


@pytest.mark.parametrize(
    "hosts",
    [
        ["acr-x1.eastus2.geo.azurecr.io", "acr-x1.westus2.geo.azurecr.io"],
        ["ACR-X1.EastUS2.GEO.azurecr.io"],
        ["acr-x1.eastus2.geo.evil.example", "other.eastus2.geo.azurecr.io", 5, None],
        "nothing",
        None,
    ],
)
def test_hosts(hosts: Any) -> None:
    """A listed host counts below the registry's own name only, as tokens are sent there; else it is the documented
    form, with the label of the login server and not the registry's name."""
    found = read_servers({"regionalEndpoints": "Enabled", "regionalEndpointHostNames": hosts})
    registry = Registry(id="", name="acr", login_server="acr-x1.azurecr.io", location="centralus", public_access=False)
    expected = RegionalServer("eastus2", "acr-x1.eastus2.geo.azurecr.io")
    assert found.server(registry, "eastus2", ".azurecr.io") == expected


def test_another_listed_form() -> None:
    """What Azure lists is preferred to the documented form; another cloud has another suffix."""
    found = RegionalServers(hosts=("acr.chinaeast2.geo2.azurecr.cn",))
    registry = Registry(id="", name="acr", login_server="acr.azurecr.cn", location="chinanorth", public_access=False)
    assert found.server(registry, "chinaeast2", ".azurecr.cn").host == "acr.chinaeast2.geo2.azurecr.cn"
    assert found.server(registry, "chinanorth", ".azurecr.cn").host == "acr.chinanorth.geo.azurecr.cn"


@pytest.mark.parametrize("text", ["eastus2", "East US 2", "EASTUS2", " east us 2 "])
def test_names_of_regions(text: str) -> None:
    """However Azure writes them."""
    assert region_name(text) == "eastus2"

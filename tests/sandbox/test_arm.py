"""Azure Resource Manager's own answers, asked for by its SDK and by plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity.aio import EnvironmentCredential
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from sandbox.scenario import Identity, Scenario
from sandbox.services.entra.state import Entra
from sandbox.tenant import CLUSTER_GROUP, SPOKE_GROUP, SPOKE_NETWORK, group_id, spoke_network_id
from tests.conftest import RunningSandbox, StartSandbox

ARM = "https://management.azure.com"


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[ResourceManagementClient]:
    """The SDK as the pipeline's identity."""
    async with (
        EnvironmentCredential() as credential,
        ResourceManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        yield client


def _get(path: str, token: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client() as client:
        return client.get(f"{ARM}{path}", params={"api-version": "2022-12-01"}, headers=headers)


def _token(sandbox: RunningSandbox, audience: str = ARM, lifetime: float = 600) -> str:
    azure = sandbox.azure
    principal = azure.access.principals[azure.scenario.identity.object_id]
    return azure.state(Entra).issue(principal, audience, lifetime=lifetime)


def test_without_a_token_arm_challenges(sandbox: RunningSandbox) -> None:
    """401 with the authority in the challenge."""
    answer = _get("/subscriptions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AuthenticationFailed")
    assert sandbox.azure.tenant_id in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("audience", "lifetime", "code"),
    [
        ("https://vault.azure.net", 600, "InvalidAuthenticationTokenAudience"),
        (ARM, -600, "ExpiredAuthenticationToken"),
    ],
)
def test_a_token_for_something_else_is_refused(
    sandbox: RunningSandbox, audience: str, lifetime: float, code: str
) -> None:
    """Audience and expiry are checked."""
    answer = _get("/subscriptions", _token(sandbox, audience, lifetime))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


@pytest.mark.parametrize("audience", [ARM, f"{ARM}/", "https://management.core.windows.net/"])
def test_every_audience_of_arm_lists_the_subscription(sandbox: RunningSandbox, audience: str) -> None:
    """az and the SDKs name ARM differently."""
    body = _get("/subscriptions", _token(sandbox, audience)).json()
    assert [entry["subscriptionId"] for entry in body["value"]] == [sandbox.azure.subscription_id]


def test_an_unknown_subscription_is_not_found(sandbox: RunningSandbox) -> None:
    """SubscriptionNotFound comes before any check of rights."""
    answer = _get("/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/x", _token(sandbox))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "SubscriptionNotFound")


def test_anybody_may_ask_where_the_cloud_is(sandbox: RunningSandbox) -> None:
    """One cloud in the newer api-version, a list of clouds in older ones."""
    with httpx.Client() as client:
        newer, older = (
            client.get(f"{ARM}/metadata/endpoints", params={"api-version": version}).json()
            for version in ("2022-09-01", "2019-05-01")
        )
    assert newer["authentication"]["loginEndpoint"] == "https://login.microsoftonline.com"
    assert older == [newer]


async def test_groups_that_the_caller_may_read_are_listed(client: ResourceManagementClient) -> None:
    """The pipeline sees the cluster's group and the network's groups."""
    names = {group.name async for group in client.resource_groups.list()}
    assert {CLUSTER_GROUP, SPOKE_GROUP} <= names


async def test_a_group_that_is_missing_is_refused_or_not_found(
    client: ResourceManagementClient, sandbox: RunningSandbox
) -> None:
    """Without rights on it nobody learns whether it exists; with them it is ResourceGroupNotFound."""
    reader = sandbox.azure.access.assign(
        role="Reader",
        principal_id=sandbox.azure.scenario.identity.object_id,
        scope=f"/subscriptions/{sandbox.azure.subscription_id}",
        at_once=True,
    )
    with pytest.raises(ResourceNotFoundError) as missing:
        await client.resource_groups.get("rg-missing")
    assert missing.value.error is not None
    assert missing.value.error.code == "ResourceGroupNotFound"
    assert not await client.resource_groups.check_existence("rg-missing")
    assert await client.resource_groups.check_existence(CLUSTER_GROUP)
    sandbox.azure.access.unassign(reader.id)


async def test_a_group_keeps_its_location(client: ResourceManagementClient) -> None:
    """A PUT replaces tags; another location is a conflict."""
    group = await client.resource_groups.create_or_update(CLUSTER_GROUP, {"location": "Central US", "tags": {"a": "b"}})
    assert (group.location, group.tags) == ("centralus", {"a": "b"})
    with pytest.raises(HttpResponseError, match="InvalidResourceGroupLocation"):
        await client.resource_groups.create_or_update(CLUSTER_GROUP, {"location": "eastus2"})


async def test_resources_are_found_by_type_and_name(client: ResourceManagementClient) -> None:
    """Both filters that az uses to find a resource by its name."""
    kind = "Microsoft.Network/virtualNetworks"
    by_type = [entry async for entry in client.resources.list(filter=f"resourceType eq '{kind}'")]
    by_name = [
        entry
        async for entry in client.resources.list(filter=f"resourceType eq '{kind}' and name eq '{by_type[0].name}'")
    ]
    assert [entry.id for entry in by_name] == [by_type[0].id]
    assert [entry async for entry in client.resources.list(filter=f"resourceType eq '{kind}' and name eq 'no'")] == []


async def test_a_filter_that_is_not_understood_is_an_error(client: ResourceManagementClient) -> None:
    """Better than a list that ignores it."""
    with pytest.raises(HttpResponseError, match="InvalidFilterInQueryString"):
        _ = [entry async for entry in client.resources.list(filter="startswith(name, 'x')")]


async def test_any_resource_can_be_read_by_its_id(client: ResourceManagementClient, sandbox: RunningSandbox) -> None:
    """ARM reads and lists resources without a service of their own."""
    network = await client.resources.get_by_id(spoke_network_id(sandbox.azure), api_version="2025-01-01")
    assert network.type == "Microsoft.Network/virtualNetworks"
    subnets = _get(f"{spoke_network_id(sandbox.azure)}/subnets", _token(sandbox)).json()["value"]
    assert "snet-clusternodes" in [subnet["name"] for subnet in subnets]
    assert _get(f"{spoke_network_id(sandbox.azure)}-2/subnets", _token(sandbox)).status_code == 404


async def test_a_resource_without_a_parent_is_asked_for_by_name(
    client: ResourceManagementClient, sandbox: RunningSandbox
) -> None:
    """The SDK leaves the parent's segment of the path empty."""
    found = await client.resources.get(
        SPOKE_GROUP, "Microsoft.Network", "", "virtualNetworks", SPOKE_NETWORK, api_version="2025-01-01"
    )
    assert found.id == spoke_network_id(sandbox.azure)


async def test_a_resource_is_there_or_not(client: ResourceManagementClient, sandbox: RunningSandbox) -> None:
    """HEAD on an id."""
    network = spoke_network_id(sandbox.azure)
    assert await client.resources.check_existence_by_id(network, api_version="2025-01-01")
    assert not await client.resources.check_existence_by_id(f"{network}-2", api_version="2025-01-01")


async def test_a_missing_resource_is_named_in_the_error(
    client: ResourceManagementClient, sandbox: RunningSandbox
) -> None:
    """ResourceNotFound with type, name and group."""
    missing = f"{group_id(sandbox.azure, SPOKE_GROUP)}/providers/Microsoft.Network/virtualNetworks/none"
    with pytest.raises(ResourceNotFoundError, match=f"Microsoft.Network/virtualNetworks/none.*{SPOKE_GROUP}"):
        await client.resources.get_by_id(missing, api_version="2025-01-01")


def test_a_type_that_is_not_supported_says_so(sandbox: RunningSandbox) -> None:
    """The answer is 501, never an invented 404."""
    path = f"{group_id(sandbox.azure, CLUSTER_GROUP)}/providers/Microsoft.Compute/virtualMachines/vm"
    answer = _get(path, _token(sandbox))
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotSupportedBySandbox")


def test_who_has_no_role_gets_no_list(start_sandbox: StartSandbox) -> None:
    """403 AuthorizationFailed instead of an empty list."""
    identity = Identity(roles=(), subscription_roles=(), network_roles=())
    sandbox = start_sandbox(Scenario(identity=identity))
    answer = _get(f"/subscriptions/{sandbox.azure.subscription_id}/resources", _token(sandbox))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AuthorizationFailed")
    assert _get("/subscriptions", _token(sandbox)).json()["value"] == []


async def test_providers_are_registered(client: ResourceManagementClient, sandbox: RunningSandbox) -> None:
    """Nobody has to register one, and registering takes the provider's own action."""
    sandbox.azure.access.assign(
        role="Reader",
        principal_id=sandbox.azure.scenario.identity.object_id,
        scope=f"/subscriptions/{sandbox.azure.subscription_id}",
        at_once=True,
    )
    provider = await client.providers.get("microsoft.keyvault")
    assert (provider.namespace, provider.registration_state) == ("Microsoft.KeyVault", "Registered")
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        await client.providers.register("Microsoft.KeyVault")


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("ifconfig.io", "203.0.113.10\n"),
        ("api.ipify.org", "203.0.113.10"),
        ("checkip.amazonaws.com", "203.0.113.10\n"),
    ],
)
def test_the_client_learns_its_public_address(sandbox: RunningSandbox, host: str, text: str) -> None:
    """The address is the scenario's, the one that firewalls see."""
    with httpx.Client() as client:
        assert client.get(f"https://{host}").text == text

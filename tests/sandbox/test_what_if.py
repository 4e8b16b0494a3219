"""What-if as the official client sees it: it tells what a deployment then does, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from sandbox import tenant
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.test_deployments import GROUP, NAME, client_of, deploy, deployment, small, stamp

VAULT = "Microsoft.KeyVault/vaults"


async def what_if(sandbox: RunningSandbox, body: dict[str, Any], result_format: str | None = None) -> Any:
    if result_format:
        body["properties"]["whatIfSettings"] = {"resultFormat": result_format}
    async with client_of(sandbox) as client:
        return await (await client.deployments.begin_what_if(GROUP, NAME, body)).result()


async def stand(sandbox: RunningSandbox, body: dict[str, Any]) -> None:
    async with client_of(sandbox) as client:
        await deploy(client, body)


def by_type(result: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for change in result.properties.changes:
        kind = change.resource_id.rpartition("/providers/")[2].split("/")
        found.setdefault("/".join([kind[0], *kind[1::2]]), []).append(change)
    return found


def vault(**properties: Any) -> dict[str, Any]:
    return {
        "type": VAULT,
        "apiVersion": "2022-07-01",
        "name": "kv-what-if",
        "location": "centralus",
        "tags": {"team": "a"},
        "properties": {
            "sku": {"family": "A", "name": "standard"},
            "tenantId": "[subscription().tenantId]",
            **properties,
        },
    }


async def test_what_is_not_there_would_be_created(sandbox: RunningSandbox) -> None:
    """Each resource of an empty group comes with its content, what is not known yet as an expression, secrets masked;
    nothing is made and nothing enters the history."""
    before = sandbox.azure.resources.list()
    result = await what_if(sandbox, stamp(sandbox))
    changes = by_type(result)
    assert result.status == "Succeeded"
    assert {change.change_type for found in changes.values() for change in found} == {"Create"}
    assert sum(len(found) for found in changes.values()) == 14
    assert changes[VAULT][0].after["properties"]["sku"] == {"family": "A", "name": "standard"}
    assert changes[VAULT][0].before is None
    principal = changes["Microsoft.Authorization/roleAssignments"][0].after["properties"]["principalId"]
    assert principal.startswith("[reference('/subscriptions/")
    assert set(changes["Microsoft.KeyVault/vaults/secrets"][0].after["properties"]["value"]) == {"*"}
    assert sandbox.azure.resources.list() == before
    async with client_of(sandbox) as client:
        with pytest.raises(ResourceNotFoundError):
            await client.deployments.get(GROUP, NAME)


async def test_the_same_again_changes_nothing(sandbox: RunningSandbox) -> None:
    """After the deployment every resource is as the template says; what others put into the group is left alone."""
    await stand(sandbox, stamp(sandbox))
    stands = sandbox.azure.resources.list()
    result = await what_if(sandbox, stamp(sandbox))
    changed = [change for change in result.properties.changes if change.change_type != "NoChange"]
    assert [(change.resource_id, change.delta) for change in changed] == []
    other = await what_if(sandbox, deployment(small(vault())))
    ignored = {change.resource_id.lower() for change in other.properties.changes if change.change_type == "Ignore"}
    (registry,) = [one["id"] for one in stands if one["type"] == "Microsoft.ContainerRegistry/registries"]
    assert registry.lower() in ignored
    assert not [one for one in ignored if "/vaults/" in one and one.count("/") > 8]
    assert sandbox.azure.resources.list() == stands


async def test_changes_are_told_by_property(sandbox: RunningSandbox) -> None:
    """A value that would change, one that would go, one that would come, and an array by its items."""
    rules = [{"value": "203.0.113.1"}, {"value": "203.0.113.2"}]
    acls = {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules, "virtualNetworkRules": []}
    await stand(sandbox, deployment(small(vault(networkAcls=acls))))
    changed = vault(networkAcls={**acls, "bypass": "None", "ipRules": rules[:1]}, enabledForDeployment=True)
    changed["tags"] = {"owner": "b"}
    result = await what_if(sandbox, deployment(small(changed)))
    (change,) = [one for one in result.properties.changes if one.resource_id.endswith("/kv-what-if")]
    assert change.change_type == "Modify"
    told = {one.path: (one.property_change_type, one.before, one.after) for one in change.delta}
    array = told.pop("properties.networkAcls.ipRules")
    assert told == {
        "properties.networkAcls.bypass": ("Modify", "AzureServices", "None"),
        "properties.enabledForDeployment": ("Modify", False, True),
        "tags.team": ("Delete", "a", None),
        "tags.owner": ("Create", None, "b"),
    }
    assert array[0] == "Array"
    (one,) = [one for one in change.delta if one.path == "properties.networkAcls.ipRules"]
    assert [(child.path, child.property_change_type) for child in one.children] == [("1", "Delete")]
    await stand(sandbox, deployment(small(changed)))
    after = sandbox.azure.resources.get(change.resource_id)
    assert after == change.after


async def test_ids_only(sandbox: RunningSandbox) -> None:
    """Asked for ids, it compares nothing: what stands is deployed again."""
    await stand(sandbox, deployment(small(vault())))
    second = {**vault(), "name": "kv-other"}
    result = await what_if(sandbox, deployment(small(vault(), second)), "ResourceIdOnly")
    told = {one.resource_id.rpartition("/")[2]: one for one in result.properties.changes if "/kv-" in one.resource_id}
    assert {name: one.change_type for name, one in told.items()} == {"kv-what-if": "Deploy", "kv-other": "Create"}
    assert all((one.before, one.after, one.delta) == (None, None, None) for one in told.values())


async def test_what_a_provider_refuses_is_the_result(sandbox: RunningSandbox) -> None:
    """What only the provider finds comes as a failed result, with HTTP 200; a wrong parameter is refused at once."""
    await stand(sandbox, deployment(small(vault())))
    moved = {**vault(), "location": "eastus2"}
    result = await what_if(sandbox, deployment(small(moved)))
    assert (result.status, result.error.code) == ("Failed", "InvalidResourceLocation")
    with pytest.raises(HttpResponseError, match="parameters 'x'"):
        await what_if(sandbox, deployment(small(vault()), x="y"))


async def test_it_takes_the_rights_of_a_deployment(start_sandbox: StartSandbox) -> None:
    """Who may not write a resource is not told what writing it would do."""
    sandbox = start_sandbox(Scenario())
    principal = sandbox.azure.scenario.identity.object_id
    sandbox.azure.access.delay = 0
    for assignment in sandbox.azure.access.assignments():
        if assignment.principal_id == principal:
            sandbox.azure.access.unassign(assignment.id)
    with pytest.raises(HttpResponseError) as caught:
        await what_if(sandbox, deployment(small(vault())))
    assert caught.value.status_code in {400, 403}
    assert tenant.CLUSTER_GROUP in str(caught.value)

"""Deployments as the official client sees them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import EnvironmentCredential
from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient

from sandbox import tenant
from sandbox.scenario import Scenario
from sandbox.services.keyvault.state import Vaults
from tests.conftest import RunningSandbox

GROUP = tenant.CLUSTER_GROUP
NAME = "pre-cluster-stamp"
STAMP = Path(__file__).parents[2] / "infra" / "pre-cluster-stamp.json"
CERTIFICATE = "LS0t" * 20
TRUSTED_ROOT = "appgw-ingress-internal-aks-ingress-contoso-com-tls"

Start = Callable[..., RunningSandbox]


@asynccontextmanager
async def client_of(sandbox: RunningSandbox) -> AsyncIterator[Any]:
    """The official client, untyped: every field of its models is optional."""
    async with (
        EnvironmentCredential() as credential,
        DeploymentsMgmtClient(credential, sandbox.azure.subscription_id) as client,
    ):
        yield client


def deployment(template: dict[str, Any], mode: str = "Incremental", **parameters: Any) -> dict[str, Any]:
    values = {name: {"value": value} for name, value in parameters.items()}
    return {"properties": {"mode": mode, "template": template, "parameters": values}}


def stamp(sandbox: RunningSandbox, **parameters: Any) -> dict[str, Any]:
    network = tenant.spoke_network_id(sandbox.azure)
    return deployment(
        json.loads(STAMP.read_text()),
        targetVnetResourceId=network,
        aksIngressControllerCertificate=CERTIFICATE,
        **parameters,
    )


def small(*resources: dict[str, Any], **outputs: Any) -> dict[str, Any]:
    """A template of few resources, with string outputs."""
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": list(resources),
        "outputs": {name: {"type": "string", "value": value} for name, value in outputs.items()},
    }


def identity(name: str, **more: Any) -> dict[str, Any]:
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    return {"type": kind, "apiVersion": "2023-01-31", "name": name, "location": "centralus", **more}


async def deploy(client: Any, body: dict[str, Any], name: str = NAME) -> Any:
    poller = await client.deployments.begin_create_or_update(GROUP, name, body)
    return await poller.result()


def only(sandbox: RunningSandbox, resource_type: str) -> dict[str, Any]:
    [found] = sandbox.azure.resources.list(resource_type)
    return found


async def until_succeeded(client: Any, name: str, resource_type: str) -> dict[str, str]:
    """States by resource type, once the first of a type is made."""
    while True:
        rows = [row.properties async for row in client.deployment_operations.list(GROUP, name)]
        states = {row.target_resource.resource_type: row.provisioning_state for row in rows}
        if states.get(resource_type) == "Succeeded":
            return states


class TestClusterStamp:
    async def test_deploys_what_the_walkthrough_expects(self, sandbox: RunningSandbox) -> None:
        """Outputs name what stands; registry and vault are private and linked; nothing shows the secret's value."""
        async with client_of(sandbox) as client:
            done = await deploy(client, stamp(sandbox))
        outputs = {name: output["value"] for name, output in done.properties.outputs.items()}
        registry = only(sandbox, "Microsoft.ContainerRegistry/registries")
        vault = only(sandbox, "Microsoft.KeyVault/vaults")
        ingress = only(sandbox, "Microsoft.ManagedIdentity/userAssignedIdentities")
        assert outputs == {
            "quarantineContainerRegistryName": registry["name"],
            "containerRegistryName": registry["name"],
            "keyVaultName": vault["name"],
            "ingressClientid": ingress["properties"]["clientId"],
        }
        assert done.properties.provisioning_state == "Succeeded"
        assert registry["properties"]["publicNetworkAccess"] == "Disabled"
        assert registry["properties"]["loginServer"] == f"{registry['name']}.azurecr.io"
        assert vault["properties"]["networkAcls"]["defaultAction"] == "Deny"
        assert vault["properties"]["vaultUri"] == f"https://{vault['name']}.vault.azure.net/"
        for target in (registry, vault):
            [connection] = target["properties"]["privateEndpointConnections"]
            assert connection["properties"]["privateLinkServiceConnectionState"]["status"] == "Approved"
        assert CERTIFICATE not in json.dumps(sandbox.azure.resources.list())
        trusted_root = sandbox.azure.state(Vaults).contents(vault["name"]).secret(TRUSTED_ROOT, None)
        shown = only(sandbox, "Microsoft.KeyVault/vaults/secrets")["properties"]["secretUriWithVersion"]
        assert trusted_root.value == CERTIFICATE
        assert shown.endswith(f"/secrets/{TRUSTED_ROOT}/{trusted_root.version}")

    async def test_the_ingress_identity_can_read_the_vault(self, sandbox: RunningSandbox) -> None:
        """Deployed identities are principals, deployed role assignments count."""
        async with client_of(sandbox) as client:
            await deploy(client, stamp(sandbox))
        azure = sandbox.azure
        principal = only(sandbox, "Microsoft.ManagedIdentity/userAssignedIdentities")["properties"]["principalId"]
        roles = {
            azure.access.roles[assignment.role_guid].name: assignment.scope
            for assignment in azure.access.assignments()
            if assignment.principal_id == principal
        }
        vault = only(sandbox, "Microsoft.KeyVault/vaults")["id"]
        assert roles == {"Key Vault Secrets User": vault, "Key Vault Reader": vault}
        assert azure.access.principals[principal].name == "podmi-ingress-controller"

    async def test_deploying_again_replaces_only_what_is_the_templates(self, sandbox: RunningSandbox) -> None:
        """Firewall rules and tags are those given this time; connections, ids and assignments stay."""
        async with client_of(sandbox) as client:
            first = await deploy(client, stamp(sandbox, keyVaultIpRules=[{"value": "203.0.113.10"}]))
            vault = only(sandbox, "Microsoft.KeyVault/vaults")
            assert vault["properties"]["networkAcls"]["ipRules"] == [{"value": "203.0.113.10/32"}]
            assignments = {assignment.id for assignment in sandbox.azure.access.assignments()}
            second = await deploy(client, stamp(sandbox, keyVaultTags={"owner": "me"}))
        again = only(sandbox, "Microsoft.KeyVault/vaults")
        assert again["properties"]["networkAcls"]["ipRules"] == []
        assert again["tags"] == {"owner": "me"}
        connections = "privateEndpointConnections"
        assert again["properties"][connections] == vault["properties"][connections]
        assert second.properties.outputs == first.properties.outputs
        assert {assignment.id for assignment in sandbox.azure.access.assignments()} == assignments

    async def test_resources_come_one_after_another(self, start_sandbox: Start) -> None:
        """A running deployment shows what stands so far, lets no other of its name begin, and can be cancelled."""
        sandbox = start_sandbox(speed=0)
        async with client_of(sandbox) as client:
            await client.deployments.begin_create_or_update(GROUP, NAME, stamp(sandbox), polling=False)
            sandbox.control("POST", "/clock", json={"jump": 200})
            states = await until_succeeded(client, NAME, "Microsoft.ContainerRegistry/registries")
            assert states["Microsoft.Network/privateEndpoints"] == "Running"
            assert "Microsoft.Network/privateEndpoints/privateDnsZoneGroups" not in states
            running = await client.deployments.get(GROUP, NAME)
            assert running.properties.provisioning_state == "Running"
            with pytest.raises(ResourceExistsError) as caught:
                await client.deployments.begin_create_or_update(GROUP, NAME, stamp(sandbox), polling=False)
            assert caught.value.error is not None
            assert caught.value.error.code == "DeploymentActive"
            await client.deployments.cancel(GROUP, NAME)
            assert (await client.deployments.get(GROUP, NAME)).properties.provisioning_state == "Canceled"
            with pytest.raises(ResourceExistsError):
                await client.deployments.cancel(GROUP, NAME)
        assert only(sandbox, "Microsoft.ContainerRegistry/registries")
        assert sandbox.azure.resources.list("Microsoft.Network/privateEndpoints") == []


class TestFailures:
    async def test_a_deployer_without_the_right_to_grant(self, start_sandbox: Start) -> None:
        """Contributor alone cannot assign roles: the rest is deployed, the failure is in the details."""
        sandbox = start_sandbox(Scenario.model_validate({"identity": {"roles": ["Contributor"]}}))
        async with client_of(sandbox) as client:
            with pytest.raises(HttpResponseError) as refused:
                await (await client.deployments.begin_validate(GROUP, NAME, stamp(sandbox))).result()
            with pytest.raises(HttpResponseError) as caught:
                await deploy(client, stamp(sandbox))
            failed = await client.deployments.get(GROUP, NAME)
        assert refused.value.error is not None
        assert refused.value.error.code == "InvalidTemplateDeployment"
        assert caught.value.status_code == 200
        assert caught.value.error is not None
        assert caught.value.error.code == "DeploymentFailed"
        assert {detail.code for detail in caught.value.error.details} == {"AuthorizationFailed"}
        assert failed.properties.provisioning_state == "Failed"
        assert failed.properties.error.code == "DeploymentFailed"
        assert only(sandbox, "Microsoft.KeyVault/vaults")["properties"]["privateEndpointConnections"]

    async def test_a_deployer_without_rights_on_the_network(self, start_sandbox: Start) -> None:
        """Joining a subnet takes a right on the subnet; what depends on the endpoints is not begun."""
        sandbox = start_sandbox(Scenario.model_validate({"identity": {"network_roles": []}}))
        async with client_of(sandbox) as client:
            with pytest.raises(HttpResponseError) as caught:
                await deploy(client, stamp(sandbox))
            rows = [row.properties async for row in client.deployment_operations.list(GROUP, NAME)]
        assert caught.value.error is not None
        assert {detail.code for detail in caught.value.error.details} == {"LinkedAuthorizationFailed"}
        failed = {row.target_resource.resource_type for row in rows if row.provisioning_state == "Failed"}
        assert failed == {"Microsoft.Network/privateEndpoints"}
        assert "privateDnsZoneGroups" not in {row.target_resource.resource_type.rpartition("/")[2] for row in rows}

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (deployment(small(identity("[nope()]"))), 400, "InvalidTemplate"),
            (deployment(small(identity("a")), unknown="x"), 400, "InvalidTemplate"),
            (deployment(small(), mode="Complete"), 501, "NotSupportedBySandbox"),
            (deployment(small({**identity("a"), "type": "Microsoft.Sql/servers"})), 501, "NotSupportedBySandbox"),
            (
                {"properties": {"mode": "Incremental", "templateLink": {"uri": "https://x"}}},
                501,
                "NotSupportedBySandbox",
            ),
            ({"properties": {"mode": "Incremental"}}, 400, "InvalidRequestContent"),
        ],
    )
    async def test_refused_before_it_begins(
        self, sandbox: RunningSandbox, body: dict[str, Any], status: int, code: str
    ) -> None:
        """Nothing is remembered of a deployment that could not begin."""
        async with client_of(sandbox) as client:
            with pytest.raises(HttpResponseError) as caught:
                await client.deployments.begin_create_or_update(GROUP, "x", body, retry_total=0)
            assert not await client.deployments.check_existence(GROUP, "x")
        assert caught.value.status_code == status
        assert caught.value.error is not None
        assert caught.value.error.code == code

    @pytest.mark.parametrize(
        ("resource", "code"),
        [
            (
                {
                    "type": "Microsoft.ContainerRegistry/registries",
                    "apiVersion": "v",
                    "name": "acrtrusted",
                    "location": "centralus",
                    "sku": {"name": "Premium"},
                    "properties": {"policies": {"trustPolicy": {"type": "Notary", "status": "enabled"}}},
                },
                "FeatureNotSupported",
            ),
            (
                {
                    "type": "Microsoft.KeyVault/vaults",
                    "apiVersion": "v",
                    "name": "kv-private",
                    "location": "centralus",
                    "properties": {
                        "sku": {"family": "A", "name": "standard"},
                        "tenantId": "[subscription().tenantId]",
                        "networkAcls": {"ipRules": [{"value": "10.0.0.1"}]},
                    },
                },
                "BadRequest",
            ),
            (
                {"type": "Microsoft.Network/privateEndpoints", "apiVersion": "v", "name": "pe", "properties": {}},
                "InvalidRequestFormat",
            ),
            (
                {
                    "type": "Microsoft.KeyVault/vaults/secrets",
                    "apiVersion": "v",
                    "name": "kv-none/s",
                    "properties": {"value": "x"},
                },
                "ParentResourceNotFound",
            ),
            (identity("a", tags={"x": "[reference('missing').y]"}), "ResourceNotFound"),
        ],
    )
    async def test_refused_by_the_provider(self, sandbox: RunningSandbox, resource: dict[str, Any], code: str) -> None:
        """What a resource provider refuses fails the deployment with the provider's code."""
        async with client_of(sandbox) as client:
            with pytest.raises(HttpResponseError) as caught:
                await deploy(client, deployment(small(resource)))
        assert caught.value.error is not None
        assert [detail.code for detail in caught.value.error.details] == [code]

    async def test_outputs_that_cannot_be_evaluated(self, sandbox: RunningSandbox) -> None:
        """The resources stand, the deployment has failed."""
        template = small(identity("a"), x="[reference('a').colour]")
        async with client_of(sandbox) as client:
            with pytest.raises(HttpResponseError) as caught:
                await deploy(client, deployment(template))
        assert caught.value.error is not None
        assert [detail.code for detail in caught.value.error.details] == ["DeploymentOutputEvaluationFailed"]
        assert only(sandbox, "Microsoft.ManagedIdentity/userAssignedIdentities")


class TestHistory:
    async def test_the_spoke_is_there(self, sandbox: RunningSandbox) -> None:
        """The first thing that the walkthrough reads."""
        async with client_of(sandbox) as client:
            spoke = await client.deployments.get(tenant.SPOKE_GROUP, "spoke-BU0001A0005-01")
        assert spoke.properties.outputs["clusterVnetResourceId"]["value"] == tenant.spoke_network_id(sandbox.azure)

    async def test_life_of_an_entry(self, sandbox: RunningSandbox) -> None:
        """Entries can be listed, filtered, exported and deleted; what was deployed stays."""
        template = small(identity("a"), name="a")
        async with client_of(sandbox) as client:
            for name in ("one", "two", "three"):
                await deploy(client, deployment(template), name)
            listed = [entry.name async for entry in client.deployments.list_by_resource_group(GROUP, top=2)]
            failed = client.deployments.list_by_resource_group(GROUP, filter="provisioningState eq 'Failed'")
            assert listed == ["three", "two", "one"]
            assert [entry async for entry in failed] == []
            assert (await client.deployments.export_template(GROUP, "one")).template == template
            hashed = await client.deployments.calculate_template_hash(template)
            assert hashed.template_hash == (await client.deployments.get(GROUP, "one")).properties.template_hash
            await (await client.deployments.begin_delete(GROUP, "one")).result()
            assert not await client.deployments.check_existence(GROUP, "one")
            with pytest.raises(ResourceNotFoundError):
                await client.deployments.get(GROUP, "one")
        assert only(sandbox, "Microsoft.ManagedIdentity/userAssignedIdentities")["name"] == "a"

    async def test_validation_deploys_nothing(self, sandbox: RunningSandbox) -> None:
        """It tells which resources would be deployed."""
        async with client_of(sandbox) as client:
            poller = await client.deployments.begin_validate(GROUP, NAME, stamp(sandbox))
            validated = await poller.result()
            assert len(validated.properties.validated_resources) == 14
            assert not await client.deployments.check_existence(GROUP, NAME)
        assert sandbox.azure.resources.list("Microsoft.KeyVault/vaults") == []


async def test_the_body_that_az_sends(sandbox: RunningSandbox) -> None:
    """A template file with comments under a bare key, and an answer that says where to ask again."""
    template = json.dumps(small(identity("a")))
    body = f'{{"properties": {{"parameters": {{}}, "mode": "Incremental", template:{template} /* end */}}}}'
    path = f"{tenant.group_id(sandbox.azure, GROUP)}/providers/Microsoft.Resources/deployments/az".replace(
        "eGroups", "egroups"
    )
    async with EnvironmentCredential() as credential, httpx.AsyncClient() as client:
        token = await credential.get_token("https://management.azure.com/.default")
        headers = {"Authorization": f"Bearer {token.token}", "Content-Type": "application/json"}
        url = f"https://management.azure.com{path}?api-version=2025-04-01"
        answer = await client.put(url, content=body, headers=headers)
        status = await client.get(answer.headers["Azure-AsyncOperation"], headers=headers)
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Accepted"
    assert int(answer.headers["x-ms-retry-after-ms"]) > 0
    assert status.json()["status"] in {"Running", "Succeeded"}

"""The sandbox speaks as Azure's OpenAPI documents say: status, headers and body of each operation of a preparation."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import tenant
from sandbox.scenario import DefenderPlan, Finding, Scan, Scenario
from sandbox.services.entra.state import Entra
from tests.conftest import StartSandbox
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed
from tests.sandbox.contract import ARM_ERROR, DOCUMENTS, OPERATIONS, Wire, check_schema, deviations
from tests.waiting import until_met

STAMP = Path(__file__).parents[2] / "infra" / "pre-cluster-stamp.json"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
VAULT_AUDIENCE = "https://vault.azure.net"
GENERATED = "microsoft.security/assessments"
OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"
FALCO = "falcosecurity/falcoctl"
UNHEALTHY = Scan(
    outcome="unhealthy",
    findings=(Finding(cve="CVE-2026-1001", severity="High", package="libssl3", version="3.3.2-r1"),),
)
SCENARIO = Scenario(
    scans={FALCO: UNHEALTHY}, defender=DefenderPlan(generations=("individual", "sub-assessments", "qualys"))
)


@pytest.fixture
async def wire(start_sandbox: StartSandbox) -> AsyncIterator[Wire]:
    """The contract over a sandbox, for an owner; what deviated fails the test at its end."""
    sandbox = start_sandbox(SCENARIO)
    owner, scope = sandbox.azure.scenario.identity.object_id, f"/subscriptions/{sandbox.azure.subscription_id}"
    sandbox.azure.access.assign(role="Owner", principal_id=owner, scope=scope, at_once=True)
    async with httpx.AsyncClient() as http:
        wire = Wire(sandbox, http)
        yield wire
    assert not wire.wrong, "\n".join(dict.fromkeys(wire.wrong))


def group(wire: Wire) -> str:
    return tenant.group_id(wire.sandbox.azure, tenant.CLUSTER_GROUP)


def deployment_id(wire: Wire, name: str) -> str:
    return f"{group(wire)}/providers/Microsoft.Resources/deployments/{name}"


def stamp(wire: Wire) -> dict[str, Any]:
    values = {
        "targetVnetResourceId": tenant.spoke_network_id(wire.sandbox.azure),
        "aksIngressControllerCertificate": "LS0t" * 20,
        "geoRedundancyLocation": "eastus2",
    }
    return body_of(json.loads(STAMP.read_text()), values)


def body_of(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {name: {"value": value} for name, value in values.items()}
    return {"properties": {"mode": "Incremental", "template": template, "parameters": parameters}}


async def polled(wire: Wire, answer: httpx.Response) -> dict[str, Any]:
    """How a deployment ended."""
    url, status = answer.headers["azure-asyncoperation"], "Running"
    while status == "Running":
        await asyncio.sleep(0.02)
        document: dict[str, Any] = (await wire.ask("AsyncOperation", "GET", url)).json()
        status = document["status"]
    return document


async def deploy(wire: Wire, name: str = "pre-cluster-stamp") -> dict[str, Any]:
    """Deploy the cluster's infrastructure; the deployment's outputs by name."""
    url = f"{deployment_id(wire, name)}?api-version=2026-06-01"
    begun = await wire.ask("Deployments_CreateOrUpdate", "PUT", url, stamp(wire), status=201)
    assert await polled(wire, begun) == {"status": "Succeeded"}
    done = (await wire.ask("Deployments_Get", "GET", url)).json()["properties"]
    return {name: output["value"] for name, output in done["outputs"].items()}


async def import_image(wire: Wire, registry: str, body: dict[str, Any], status: int = 200) -> None:
    """Import, and poll until it ends with a status."""
    url = f"{registry}/importImage?api-version=2025-11-01"
    answer = await wire.ask("Registries_ImportImage", "POST", url, body, status=202)
    while answer.status_code == 202:
        await asyncio.sleep(0.02)
        answer = await wire.ask("ImportResult", "GET", answer.headers["location"], status=(202, status))


def quarantine(image: str, registry_uri: str = "docker.io") -> dict[str, Any]:
    source = {"registryUri": registry_uri, "sourceImage": image}
    return {"source": source, "targetTags": [f"quarantine/{image}"], "mode": "NoForce"}


async def scans_end(wire: Wire) -> None:
    async def wait() -> None:
        running = [o.task for o in wire.sandbox.azure.operations.all() if o.kind == "scan" and o.task]
        await asyncio.gather(*running)

    await asyncio.to_thread(wire.sandbox.run, wait())


async def test_deployments(wire: Wire) -> None:
    """Validation, a deployment with its polls, its entry in the history and each of its steps."""
    one, version = deployment_id(wire, "pre-cluster-stamp"), "api-version=2026-06-01"
    await wire.ask("Deployments_Validate", "POST", f"{one}/validate?{version}", stamp(wire))
    await wire.ask("Deployments_CheckExistence", "HEAD", f"{one}?{version}", status=404)
    await deploy(wire)
    await wire.ask("Deployments_CheckExistence", "HEAD", f"{one}?{version}", status=204)
    all_ = one.rpartition("/")[0]
    page = (await wire.ask("Deployments_ListByResourceGroup", "GET", f"{all_}?{version}&$top=1")).json()
    assert [entry["name"] for entry in page["value"]] == ["pre-cluster-stamp"]
    steps = one.replace("/providers/Microsoft.Resources", "") + "/operations"
    rows = (await wire.ask("DeploymentOperations_List", "GET", f"{steps}?{version}")).json()["value"]
    assert len(rows) > 10
    await wire.ask("DeploymentOperations_Get", "GET", f"{steps}/{rows[0]['operationId']}?{version}")
    url = f"/providers/Microsoft.Resources/calculateTemplateHash?{version}"
    await wire.ask("Deployments_CalculateTemplateHash", "POST", url, json.loads(STAMP.read_text()))


async def test_a_failed_deployment(wire: Wire) -> None:
    """The poll says what failed, and so do the deployment and its step."""
    secret = {"type": "Microsoft.KeyVault/vaults/secrets", "apiVersion": "2024-11-01", "name": "kv-none/tls"}
    template = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": [{**secret, "properties": {"value": "x"}}]}
    url = f"{deployment_id(wire, 'fails')}?api-version=2026-06-01"
    begun = await wire.ask("Deployments_CreateOrUpdate", "PUT", url, body_of(template, {}), status=201)
    assert (await polled(wire, begun))["error"]["code"] == "DeploymentFailed"
    failed = (await wire.ask("Deployments_Get", "GET", url)).json()
    assert failed["properties"]["provisioningState"] == "Failed"
    steps = f"{group(wire)}/deployments/fails/operations?api-version=2026-06-01"
    [row] = (await wire.ask("DeploymentOperations_List", "GET", steps)).json()["value"]
    assert row["properties"]["statusMessage"]["error"]["code"]


async def test_registries_and_imports(wire: Wire) -> None:
    """Registries, deployed and put; imports that succeed, conflict and fail."""
    registry = (await deploy(wire))["containerRegistryName"]
    one, version = (
        f"{group(wire)}/providers/Microsoft.ContainerRegistry/registries/{registry}",
        "api-version=2025-11-01",
    )
    await wire.ask("Registries_Get", "GET", f"{one}?{version}")
    listed = (await wire.ask("Registries_List", "GET", f"{one.rpartition('/')[0]}?{version}")).json()
    assert [entry["name"] for entry in listed["value"]] == [registry]
    [replication] = wire.sandbox.azure.resources.list("Microsoft.ContainerRegistry/registries/replications")
    await wire.ask("Replications_Get", "GET", f"{replication['id']}?{version}")
    await wire.ask("Registries_Update", "PATCH", f"{one}?{version}", {"tags": {"a": "b"}})
    other = {"location": "centralus", "sku": {"name": "Premium"}}
    await wire.ask("Registries_Create", "PUT", f"{one}two?{version}", other, status=201)
    await wire.ask("Registries_Create", "PUT", f"{one}two?{version}", other, status=200)
    await import_image(wire, one, quarantine(f"{FALCO}:0.10.1"))
    await import_image(wire, one, quarantine(f"{FALCO}:0.10.1"), status=409)
    await import_image(wire, one, quarantine("library/no-such-image:1"), status=400)


async def test_vaults(wire: Wire) -> None:
    """Vaults, deployed, put, patched and deleted."""
    vault = (await deploy(wire))["keyVaultName"]
    provider = f"/subscriptions/{wire.sandbox.azure.subscription_id}/providers/Microsoft.KeyVault"
    one, version = f"{group(wire)}/providers/Microsoft.KeyVault/vaults/{vault}", "api-version=2026-05-15"
    shown = (await wire.ask("Vaults_Get", "GET", f"{one}?{version}")).json()
    assert shown["properties"]["privateEndpointConnections"]
    acls = {**shown["properties"]["networkAcls"], "ipRules": [{"value": "203.0.113.10/32"}]}
    change = {"tags": {"lease": "x"}, "properties": {"networkAcls": acls}}
    await wire.ask("Vaults_Update", "PATCH", f"{one}?{version}", change)
    await wire.ask("Vaults_CreateOrUpdate", "PUT", f"{one}?{version}", {**shown, **change, **shown}, status=200)
    await wire.ask("Vaults_List", "GET", f"{one.rpartition('/')[0]}?{version}")
    await wire.ask("Vaults_List", "GET", f"{provider}/vaults?{version}")
    new = {
        "location": "centralus",
        "properties": {"tenantId": wire.sandbox.azure.tenant_id, "sku": {"family": "A", "name": "standard"}},
    }
    await wire.ask("Vaults_CreateOrUpdate", "PUT", f"{one[:-4]}new?{version}", new)
    await wire.ask("Vaults_Delete", "DELETE", f"{one[:-4]}new?{version}", status=200)
    deleted = f"{provider}/locations/centralus/deletedVaults/{(one[:-4] + 'new').rpartition('/')[2]}"
    await wire.ask("Vaults_GetDeleted", "GET", f"{deleted}?{version}")
    asked = {"name": vault, "type": "Microsoft.KeyVault/vaults"}
    await wire.ask("Vaults_CheckNameAvailability", "POST", f"{provider}/checkNameAvailability?{version}", asked)


async def test_role_assignments(wire: Wire) -> None:
    """Granting, reading, listing and removing a role; definitions and the caller's permissions."""
    scope, version = group(wire), "api-version=2022-04-01"
    list_ = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
    one = f"{list_}/{uuid.uuid4()}?{version}"
    role = f"/subscriptions/{wire.sandbox.azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
    principal = wire.sandbox.azure.scenario.identity.object_id
    properties = {"roleDefinitionId": f"{role}/{OFFICER}", "principalId": principal}
    grant = {"properties": {**properties, "principalType": "ServicePrincipal", "description": "temporary"}}
    await wire.ask("RoleAssignments_Create", "PUT", one, {"properties": properties}, status=201)
    await wire.ask("RoleAssignments_Create", "PUT", one, grant, status=200)
    await wire.ask("RoleAssignments_Get", "GET", one)
    await wire.ask("RoleAssignments_ListForScope", "GET", f"{list_}?{version}&$filter=atScope()")
    await wire.ask("RoleAssignments_ListForScope", "GET", f"{list_}?{version}&$filter=principalId eq '{principal}'")
    await wire.ask(
        "Permissions_ListForResource", "GET", f"{scope}/providers/Microsoft.Authorization/permissions?{version}"
    )
    await wire.ask("RoleDefinitions_List", "GET", f"{role}?{version}")
    await wire.ask("RoleDefinitions_Get", "GET", f"{role}/{OFFICER}?{version}")
    await wire.ask("RoleAssignments_Delete", "DELETE", one, status=200)
    await wire.ask("RoleAssignments_Delete", "DELETE", one, status=204)


async def test_certificates(wire: Wire) -> None:
    """Import, reading, soft deletion, recovery and purge in a vault of the caller's own."""
    azure = wire.sandbox.azure
    one = f"{group(wire)}/providers/Microsoft.KeyVault/vaults/kv-contract"
    vault = {"tenantId": azure.tenant_id, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True}
    body = {"location": "centralus", "properties": vault}
    await wire.ask("Vaults_CreateOrUpdate", "PUT", f"{one}?api-version=2026-05-15", body)
    azure.access.assign(
        role="Key Vault Administrator", principal_id=azure.scenario.identity.object_id, scope=one, at_once=True
    )

    async def data(name: str, method: str, path: str, body: object = None) -> None:
        url = f"https://kv-contract.vault.azure.net{path}?api-version=2026-04-01"
        await wire.ask(name, method, url, body, audience=VAULT_AUDIENCE)
        azure.clock.jump(azure.scenario.timings.vault_object)

    key = ec.generate_private_key(ec.SECP256R1())
    pem = (certificate_pem(self_signed(key)) + key_pem(key)).encode()
    policy = {"secret_props": {"contentType": "application/x-pem-file"}, "issuer": {"name": "Unknown"}}
    value = {"value": base64.b64encode(pem).decode(), "policy": policy, "tags": {"a": "b"}}
    await data("ImportCertificate", "POST", "/certificates/ingress/import", value)
    await data("GetCertificate", "GET", "/certificates/ingress", None)
    await data("GetCertificates", "GET", "/certificates")
    await data("GetCertificateVersions", "GET", "/certificates/ingress/versions")
    await data("GetCertificatePolicy", "GET", "/certificates/ingress/policy")
    await data("DeleteCertificate", "DELETE", "/certificates/ingress")
    await data("GetDeletedCertificate", "GET", "/deletedcertificates/ingress")
    await data("GetDeletedCertificates", "GET", "/deletedcertificates")
    await data("RecoverDeletedCertificate", "POST", "/deletedcertificates/ingress/recover")
    await data("DeleteCertificate", "DELETE", "/certificates/ingress")
    await data("PurgeDeletedCertificate", "DELETE", "/deletedcertificates/ingress")


async def test_defender_and_resource_graph(wire: Wire) -> None:
    """Plans, and the rows of findings in both result formats, over pages."""
    subscription = f"/subscriptions/{wire.sandbox.azure.subscription_id}"
    plans = f"{subscription}/providers/Microsoft.Security/pricings"
    await wire.ask("Pricings_Get", "GET", f"{plans}/Containers?api-version=2024-01-01")
    await wire.ask("Pricings_List", "GET", f"{plans}?api-version=2024-01-01")
    registry = (await deploy(wire))["containerRegistryName"]
    one = f"{group(wire)}/providers/Microsoft.ContainerRegistry/registries/{registry}"
    await import_image(wire, one, quarantine(f"{FALCO}:0.10.1"))
    await scans_end(wire)

    async def query(text: str, **options: object) -> dict[str, Any]:
        url = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01"
        document: dict[str, Any] = (
            await wire.ask("Resources", "POST", url, {"query": text, "options": options})
        ).json()
        return document

    rows = (await query("securityresources | project id, name, type, properties"))["data"]
    assert {row["type"] for row in rows} == {GENERATED, f"{GENERATED}/subassessments"}
    assert [text for row in rows for text in deviations(row, "security.json#/$defs/graphRow")] == []
    page = await query("resources | project id, name, tags | order by id asc", **{"$top": 2})
    await query("resources | project id, name, tags | order by id asc", **{"$top": 2, "$skipToken": page["$skipToken"]})
    kinds = "resources | extend n = 1, f = 1.5, b = true, t = now() | project id, tags, n, f, b, t"
    await query(kinds, resultFormat="table")
    url = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01"
    await wire.ask("Resources", "POST", url, {"query": "no such | table"}, status=400)


async def test_assessments(wire: Wire) -> None:
    """Findings by the API of their own, in each generation."""
    registry = (await deploy(wire))["containerRegistryName"]
    one = f"{group(wire)}/providers/Microsoft.ContainerRegistry/registries/{registry}"
    await import_image(wire, one, quarantine(f"{FALCO}:0.10.1"))
    await scans_end(wire)
    version = "api-version=2021-06-01"
    url = f"{one}/providers/Microsoft.Security/assessments?{version}"
    found = (await wire.ask("Assessments_List", "GET", url)).json()["value"]
    await wire.ask("Assessments_Get", "GET", f"{found[0]['id']}?{version}")
    version = "api-version=2019-01-01-preview"
    url = f"{one}/providers/Microsoft.Security/subAssessments?{version}"
    found = (await wire.ask("SubAssessments_List", "GET", url)).json()["value"]
    await wire.ask("SubAssessments_Get", "GET", f"{found[0]['id']}?{version}")


async def test_logs_and_alerts(wire: Wire) -> None:
    """An import straight into live/ is a row of the workspace, and an alert that people acknowledge."""
    registry = (await deploy(wire))["containerRegistryName"]
    one = f"{group(wire)}/providers/Microsoft.ContainerRegistry/registries/{registry}"
    await import_image(wire, one, quarantine(f"{FALCO}:0.10.1") | {"targetTags": ["live/direct:1"]})
    [workspace] = wire.sandbox.azure.resources.list("Microsoft.OperationalInsights/workspaces")
    url = f"https://api.loganalytics.io/v1/workspaces/{workspace['properties']['customerId']}/query"
    version, alerts = "api-version=2019-05-05-preview", f"{group(wire)}/providers/Microsoft.AlertsManagement/alerts"
    rows: list[Any] = []
    fired: list[Any] = []

    async def shown() -> bool:
        body = {"query": "ContainerRegistryRepositoryEvents", "timespan": "P1D"}
        answer = await wire.ask("Query_Execute", "POST", url, body, audience="https://api.loganalytics.io")
        rows[:] = answer.json()["tables"][0]["rows"]
        fired[:] = (await wire.ask("Alerts_GetAll", "GET", f"{alerts}?{version}")).json()["value"]
        return bool(rows and fired)

    await until_met(shown)
    await wire.ask("Alerts_GetById", "GET", f"{fired[0]['id']}?{version}")
    change = f"{fired[0]['id']}/changestate?{version}&newState=Acknowledged"
    await wire.ask("Alerts_ChangeState", "POST", change)


async def test_refusals(wire: Wire) -> None:
    """What is refused is refused in the envelope that the documents give, whoever refuses it."""
    azure, version = wire.sandbox.azure, "api-version=2026-05-15"
    vault = f"{group(wire)}/providers/Microsoft.KeyVault/vaults/kv-none"
    registry = f"{group(wire)}/providers/Microsoft.ContainerRegistry/registries/acrnone"
    own = f"/subscriptions/{azure.subscription_id}"
    elsewhere = "/subscriptions/00000000-0000-0000-0000-000000000000"
    nobody = azure.state(Entra).issue(
        azure.access.principals[azure.scenario.identity.object_id], "https://graph.microsoft.com"
    )
    await wire.ask("Vaults_Get", "GET", f"{vault}?{version}", token="no token", status=401)
    await wire.ask("Vaults_Get", "GET", f"{vault}?{version}", token=nobody, status=401)
    await wire.ask("Vaults_Get", "GET", f"{vault}?{version}", status=404)
    await wire.ask("Registries_Get", "GET", f"{registry}?{version}", status=404)
    await wire.ask("Registries_ImportImage", "POST", f"{registry}/importImage?{version}", {}, status=404)
    await wire.ask("Deployments_Get", "GET", f"{deployment_id(wire, 'none')}?{version}", status=404)
    await wire.ask("Deployments_Validate", "POST", f"{deployment_id(wire, 'x')}/validate?{version}", {}, status=400)
    misspelt = {"properties": {"mode": "Incremental", "templat": {}}}
    await wire.ask(
        "Deployments_Validate", "POST", f"{deployment_id(wire, 'x')}/validate?{version}", misspelt, status=400
    )
    await wire.ask("Vaults_CreateOrUpdate", "PUT", f"{vault}?{version}", {}, status=400)
    await wire.ask("Pricings_Get", "GET", f"{own}/providers/Microsoft.Security/pricings/No?{version}", status=404)
    foreign = f"{elsewhere}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-none?{version}"
    await wire.ask("Vaults_Get", "GET", foreign, status=404)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_schema_tells_its_source(name: str) -> None:
    """Each is a valid Draft 2020-12 schema that names the official document and the day when it was read."""
    document = DOCUMENTS[name]
    check_schema(document)
    assert document["$id"] == name
    assert re.search(r"azure-rest-api-specs, \S+.*\.json.*Read \d{4}-\d\d-\d\d", document["$comment"])


def test_every_schema_is_used() -> None:
    """No operation refers to a schema that is missing, and none is left over."""
    used = {schema for operation in OPERATIONS.values() for schema in (*operation.answers.values(), operation.error)}
    for schema in used - {None}:
        name, _, pointer = str(schema).partition("#/$defs/")
        assert pointer in DOCUMENTS[name]["$defs"], schema
    assert {str(schema).partition("#")[0] for schema in used - {None}} | {"common.json"} == set(DOCUMENTS)


def test_an_invented_property_is_found() -> None:
    """The contract fails for a property that the document does not have, a wrong type, and a missing one."""
    error = {"error": {"code": "NotFound", "message": "It is not there."}}
    assert deviations(error, ARM_ERROR) == []
    assert deviations({**error, "hint": ""}, ARM_ERROR)
    assert deviations({"error": {"code": "NotFound", "message": 1}}, ARM_ERROR)
    assert deviations({"error": {"code": "NotFound"}}, ARM_ERROR)

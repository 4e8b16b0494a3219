"""The Azure SDKs for Python in their synchronous form, over requests: one of each, from making to removing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import EnvironmentCredential
from azure.keyvault.certificates import CertificateClient, CertificateContentType, CertificatePolicy
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.security import SecurityCenter
from cryptography import x509

from tests.clients.conftest import DEPLOYMENT, GROUP, Cluster, object_id

ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"


@pytest.fixture
def group_id(subscription: str) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/{GROUP}"


def test_deployments(credential: EnvironmentCredential, subscription: str, cluster: Cluster) -> None:
    """What was deployed is listed with every resource it made, and the template comes back."""
    with DeploymentsMgmtClient(credential, subscription) as client:
        shown: Any = client.deployments.get(GROUP, DEPLOYMENT)
        operations: list[Any] = list(client.deployment_operations.list(GROUP, DEPLOYMENT))
        template: Any = client.deployments.export_template(GROUP, DEPLOYMENT).template
        names = [deployment.name for deployment in client.deployments.list_by_resource_group(GROUP)]
        there = [client.deployments.check_existence(GROUP, name) for name in (DEPLOYMENT, "absent")]
        with pytest.raises(ResourceNotFoundError, match="DeploymentNotFound"):
            client.deployments.get(GROUP, "absent")
    assert shown.properties.provisioning_state == "Succeeded"
    assert shown.properties.outputs["keyVaultName"]["value"] == cluster.vault
    assert {operation.properties.provisioning_state for operation in operations} == {"Succeeded"}
    targets = [o.properties.target_resource.resource_name for o in operations if o.properties.target_resource]
    assert {cluster.registry, cluster.vault} <= set(targets)
    assert "aksIngressControllerCertificate" in template["parameters"]
    assert (names, there) == ([DEPLOYMENT], [True, False])


def test_resources(credential: EnvironmentCredential, subscription: str, group_id: str, cluster: Cluster) -> None:
    """Groups and resources, by filter, by name without a parent, and by id."""
    registry = f"{group_id}/providers/Microsoft.ContainerRegistry/registries/{cluster.registry}"
    with ResourceManagementClient(credential, subscription) as client:
        assert client.resource_groups.check_existence(GROUP)
        assert not client.resource_groups.check_existence("absent")
        found = client.resources.list(filter="resourceType eq 'Microsoft.ContainerRegistry/registries'")
        assert registry in [resource.id for resource in found]
        vault = client.resources.get(GROUP, "Microsoft.KeyVault", "", "vaults", cluster.vault, api_version="2024-11-01")
        assert vault.name == cluster.vault
        there = [
            client.resources.check_existence_by_id(resource, api_version="2025-11-01")
            for resource in (registry, f"{registry}absent")
        ]
        assert there == [True, False]
        with pytest.raises(HttpResponseError, match=r"AuthorizationFailed.*resourceGroups/write"):
            client.resource_groups.create_or_update("rg-of-others", {"location": "centralus"})


def test_container_registries(credential: EnvironmentCredential, subscription: str) -> None:
    """A registry is made, patched, imported into by digest and by tag, and removed."""
    name = "acrclients"
    wanted: Any = {"location": "centralus", "sku": {"name": "Premium"}}
    source = {"registryUri": "docker.io", "sourceImage": "library/busybox:1.37.0"}
    body: Any = {"source": source, "targetTags": ["quarantine/library/busybox:1.37.0"]}
    with ContainerRegistryManagementClient(credential, subscription) as client:
        made: Any = client.registries.begin_create(GROUP, name, wanted).result()
        assert (made.properties.login_server, made.properties.provisioning_state) == (f"{name}.azurecr.io", "Succeeded")
        change: Any = {"tags": {"team": "platform"}, "properties": {"publicNetworkAccess": "Disabled"}}
        changed: Any = client.registries.begin_update(GROUP, name, change).result()
        assert (changed.tags, changed.properties.public_network_access) == ({"team": "platform"}, "Disabled")
        client.registries.begin_import_image(GROUP, name, body).result()
        with pytest.raises(HttpResponseError, match="already exists in target registry"):
            client.registries.begin_import_image(GROUP, name, body).result()
        client.registries.begin_import_image(GROUP, name, {**body, "mode": "Force"}).result()
        client.registries.begin_delete(GROUP, name).result()
        with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
            client.registries.get(GROUP, name)
        assert name not in [registry.name for registry in client.registries.list()]


def test_authorization(credential: EnvironmentCredential, subscription: str, group_id: str) -> None:
    """A role is found by name, assigned, listed, not assigned twice, and taken away."""
    name = str(uuid.uuid4())
    with AuthorizationManagementClient(credential, subscription) as client:
        (role,) = client.role_definitions.list(group_id, filter="roleName eq 'AcrPull'")
        assert str(role.id).endswith(ACR_PULL)
        grant: Any = {"properties": {"roleDefinitionId": role.id, "principalId": object_id(credential)}}
        made = client.role_assignments.create(group_id, name, grant)
        listed = [a.name for a in client.role_assignments.list_for_scope(group_id, filter="atScope()")]
        assert made.name in listed
        with pytest.raises(ResourceExistsError, match="RoleAssignmentExists"):
            client.role_assignments.create(group_id, str(uuid.uuid4()), grant)
        assert any(
            "*" in (permission.actions or []) for permission in client.permissions.list_for_resource_group(GROUP)
        )
        client.role_assignments.delete(group_id, name)
        with pytest.raises(ResourceNotFoundError):
            client.role_assignments.get(group_id, name)


def test_vaults(credential: EnvironmentCredential, subscription: str, tenant: str) -> None:
    """A vault is made behind a firewall, patched, listed, and deleted softly: its name stays taken."""
    acls = {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": [{"value": "203.0.113.10"}]}
    properties = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True}
    body: Any = {"location": "centralus", "properties": {**properties, "networkAcls": acls}}
    name = "kv-clients"
    with KeyVaultManagementClient(credential, subscription) as client:
        made: Any = client.vaults.begin_create_or_update(GROUP, name, body).result()
        assert made.properties.vault_uri == f"https://{name}.vault.azure.net/"
        assert [rule.value for rule in made.properties.network_acls.ip_rules] == ["203.0.113.10/32"]
        change: Any = {"properties": {"networkAcls": {**acls, "ipRules": []}}}
        closed: Any = client.vaults.update(GROUP, name, change)
        assert closed.properties.network_acls.ip_rules == []
        assert name in [vault.name for vault in client.vaults.list_by_subscription()]
        client.vaults.delete(GROUP, name)
        assert name not in [vault.name for vault in client.vaults.list_by_resource_group(GROUP)]
        with pytest.raises(ResourceExistsError, match="deleted state"):
            client.vaults.begin_create_or_update(GROUP, name, body).result()


def test_certificates(certificates: CertificateClient, cluster: Cluster) -> None:
    """Imported, read back, relabelled, deleted, recovered; two versions of one name; purged in the end."""
    name, pem = "by-python", cluster.pem.read_bytes()
    policy = CertificatePolicy(issuer_name="Unknown", content_type=CertificateContentType.pem)
    imported = certificates.import_certificate(name, pem, policy=policy)
    assert imported.cer is not None
    assert x509.load_der_x509_certificate(bytes(imported.cer)) == x509.load_pem_x509_certificate(pem)
    certificates.import_certificate(name, pem, policy=policy)
    assert len(list(certificates.list_properties_of_certificate_versions(name))) == 2
    changed = certificates.update_certificate_properties(name, enabled=False, tags={"by": "python"})
    assert changed.properties is not None
    assert (changed.properties.enabled, changed.properties.tags) == (False, {"by": "python"})
    certificates.begin_delete_certificate(name).wait()
    with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
        certificates.import_certificate(name, pem, policy=policy)
    certificates.begin_recover_deleted_certificate(name).wait()
    assert name in [found.name for found in certificates.list_properties_of_certificates()]
    certificates.begin_delete_certificate(name).wait()
    certificates.purge_deleted_certificate(name)
    with pytest.raises(ResourceNotFoundError, match="CertificateNotFound"):
        certificates.get_certificate(name)


def test_resource_graph(credential: EnvironmentCredential, subscription: str, cluster: Cluster) -> None:
    """KQL over what was deployed; a query that is not KQL is refused as Resource Graph does."""
    query = "resources | where type =~ 'microsoft.keyvault/vaults' | project name, location"
    with ResourceGraphClient(credential) as client:
        asked: Any = {"subscriptions": [subscription], "query": query}
        rows: Any = client.resources(asked)
        assert {"name": cluster.vault, "location": "centralus"} in rows.data
        wrong: Any = {"subscriptions": [subscription], "query": "resources | whoever"}
        with pytest.raises(HttpResponseError) as refused:
            client.resources(wrong)
    assert refused.value.status_code == 400


def test_security(credential: EnvironmentCredential, subscription: str) -> None:
    """Defender for Containers is on, with the registries' assessment; a plan that does not exist is not found."""
    scope = f"subscriptions/{subscription}"
    with SecurityCenter(credential, subscription) as client:
        plan: Any = client.pricings.get(scope, "Containers")
        names = [plan.name for plan in client.pricings.list(scope).value]
        with pytest.raises(ResourceNotFoundError):
            client.pricings.get(scope, "Absent")
    assert plan.pricing_tier == "Standard"
    assert {"ContainerRegistriesVulnerabilityAssessments": "True"}.items() <= {
        extension.name: extension.is_enabled for extension in plan.extensions
    }.items()
    assert "Containers" in names

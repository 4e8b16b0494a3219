"""Where Azure is not what a client would expect. What the tests of a service show already is only pointed at."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.identity import EnvironmentCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient

from sandbox.scenario import Client, Scenario
from sandbox.tenant import CLUSTER_GROUP, LOCATION
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import VAULT, add_vault, arm, group, jump, pipeline, token, vault_id
from tests.sandbox.registries import add_registry

ELSEWHERE = {
    "409 RoleAssignmentExists names the existing one": "test_authorization::test_the_same_grant_under_another_name",
    "grants count late, and go on counting": "test_authorization::test_a_grant_takes_effect_late_and_loses_it_late",
    "NoForce: Conflict, of the same digest too": "test_acr::test_an_existing_tag_is_a_conflict_unless_forced",
    "a tag that moves while it is imported": "test_acr::test_a_tag_means_what_it_names_when_the_import_starts",
    "referrers are not imported": "test_acr::test_promotion_copies_the_image_but_not_its_referrers",
    "a soft-deleted certificate holds its name": "test_keyvault::test_a_deleted_certificate_holds_its_name",
    "Resource Graph: pages only with an id column": "test_resourcegraph::test_truncated_without_token",
    "Resource Graph: quota in headers, 429 without Retry-After": "test_resourcegraph::test_throttling",
    "ARM: token buckets by principal": "test_throttling::test_arm_tells_what_is_left_and_refuses_when_nothing_is",
    "a scan that never comes": "test_defender::test_busybox_is_not_assessed",
    "an answer that is lost after the effect": "test_faults::test_a_post_whose_answer_is_lost_is_not_repeated",
}
IMPORT: Any = {
    "source": {"registryUri": "docker.io", "sourceImage": "library/busybox:1.37.0"},
    "targetTags": ["live/busybox:1.37.0"],
}


@pytest.mark.parametrize("test", ELSEWHERE.values(), ids=ELSEWHERE)
def test_is_shown_elsewhere(test: str) -> None:
    """The list above does not rot."""
    module, _, name = test.partition("::")
    assert f"def {name}" in (Path(__file__).parent / f"{module}.py").read_text()


def _deployment(resource: dict[str, Any]) -> Any:
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [resource],
    }
    return {"properties": {"mode": "Incremental", "template": template}}


def _identity() -> dict[str, Any]:
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    return {"type": kind, "apiVersion": "2023-01-31", "name": "id-one", "location": LOCATION}


def test_a_deployment_of_a_name_that_still_runs(start_sandbox: StartSandbox) -> None:
    """409 DeploymentActive, from the PUT and from the DELETE."""
    sandbox = start_sandbox(speed=0)
    with (
        EnvironmentCredential() as credential,
        DeploymentsMgmtClient(credential, sandbox.azure.subscription_id) as client,
    ):
        client.deployments.begin_create_or_update(CLUSTER_GROUP, "stamp", _deployment(_identity()), polling=False)
        for again in (
            lambda: client.deployments.begin_create_or_update(CLUSTER_GROUP, "stamp", _deployment(_identity())),
            lambda: client.deployments.begin_delete(CLUSTER_GROUP, "stamp"),
        ):
            with pytest.raises(ResourceExistsError) as refused:
                again()
            assert refused.value.error is not None
            assert refused.value.error.code == "DeploymentActive"


def test_a_failed_deployment_is_told_with_http_200(sandbox: RunningSandbox) -> None:
    """Who looks at the status code of a poll alone takes a failure for success."""
    sandbox.azure.faults.add(kind="operation-fails", operation="deployment", code="QuotaExceeded", message="No cores.")
    path = f"{group(sandbox)}/providers/Microsoft.Resources/deployments/stamp"
    with arm(sandbox) as client:
        begun = client.put(path, json=_deployment(_identity()))
        poll = client.get(begun.headers["Azure-AsyncOperation"])
        while poll.json()["status"] == "Running":
            poll = client.get(begun.headers["Azure-AsyncOperation"])
    assert (begun.status_code, poll.status_code) == (201, 200)
    assert poll.json() == {"status": "Failed", "error": {"code": "QuotaExceeded", "message": "No cores."}}


def _range(number: int) -> dict[str, str]:
    return {"value": f"198.51.100.{number}/32"}


def test_the_later_of_two_writers_of_a_vault_wins(sandbox: RunningSandbox) -> None:
    """Both read, both add a rule, both write all rules back, by PUT as az or by PATCH: the first rule is lost."""
    vault = add_vault(sandbox)
    with arm(sandbox) as one, arm(sandbox) as two:
        first, second = one.get(vault).json(), two.get(vault).json()
        for number, document in enumerate((first, second), start=1):
            document["properties"]["networkAcls"]["ipRules"].append(_range(number))
        assert "ETag" not in one.get(vault).headers
        one.put(vault, json=first).raise_for_status()
        acls = second["properties"]["networkAcls"]
        two.patch(vault, json={"properties": {"networkAcls": acls}}).raise_for_status()
        rules = one.get(vault).json()["properties"]["networkAcls"]["ipRules"]
    assert rules == [_range(2)]


def test_a_vaults_firewall_sees_the_address_that_ifconfig_tells(start_sandbox: StartSandbox) -> None:
    """Clients at two addresses, by the name that they give to the proxy: a rule for one keeps the other out."""
    clients = {"office": Client(address="198.51.100.20"), "home": Client(address="192.0.2.44")}
    sandbox = start_sandbox(Scenario(clients=clients))
    sandbox.azure.access.assign(
        role="Key Vault Certificates Officer",
        principal_id=pipeline(sandbox).object_id,
        scope=group(sandbox),
        at_once=True,
    )
    headers = {"Authorization": f"Bearer {token(sandbox, VAULT)}"}
    office, home = (httpx.Client(proxy=sandbox.proxy.replace("//", f"//{name}@"), headers=headers) for name in clients)
    with office, home:
        seen = {client.get("https://ifconfig.io").text.strip() for client in (office, home)}
        assert seen == {known.address for known in clients.values()}
        add_vault(sandbox, office.get("https://ifconfig.io").text.strip())
        url = "https://kv-ingress.vault.azure.net/certificates"
        assert office.get(url).status_code == 200
        refused = home.get(url).json()["error"]
    assert refused["innererror"]["code"] == "ForbiddenByFirewall"
    assert "Client address: 192.0.2.44" in refused["message"]


@pytest.mark.parametrize(("retry_after", "posts"), [(None, [429]), (0, [429, 202])], ids=["without", "with"])
def test_a_post_that_is_throttled(sandbox: RunningSandbox, retry_after: int | None, posts: list[int]) -> None:
    """azure-core repeats a POST after 429 only when a Retry-After asks for it."""
    add_registry(sandbox, "crsandbox")
    sandbox.azure.faults.add(kind="status", status=429, method="POST", path="*/importImage", retry_after=retry_after)
    with (
        EnvironmentCredential() as credential,
        ContainerRegistryManagementClient(credential, sandbox.azure.subscription_id) as client,
        contextlib.suppress(HttpResponseError),
    ):
        client.registries.begin_import_image(CLUSTER_GROUP, "crsandbox", IMPORT, polling=False)
    log = sandbox.control("GET", "/requests")["requests"]
    assert [entry["status"] for entry in log if entry["operation"] == "import_image"] == posts


def test_an_operation_that_runs_for_ever(sandbox: RunningSandbox) -> None:
    """The SDK's poller never ends by itself, however late it is; only an own deadline helps."""
    add_registry(sandbox, "crsandbox")
    sandbox.azure.faults.add(kind="operation-hangs", operation="import")
    with arm(sandbox) as client:
        begun = client.post(
            f"{group(sandbox)}/providers/Microsoft.ContainerRegistry/registries/crsandbox/importImage", json=IMPORT
        )
        jump(sandbox, 7 * 24 * 3600)
        polls = [client.get(begun.headers["Location"]).status_code for _ in range(3)]
    assert polls == [202] * 3


def test_resource_graph_lags(start_sandbox: StartSandbox) -> None:
    """ARM knows a new vault, a changed tag and a deletion at once; Resource Graph a minute later."""
    sandbox = start_sandbox(speed=0)
    query = {"query": "resources | where type == 'microsoft.keyvault/vaults' | project name, tags"}

    def found() -> list[tuple[str, Any]]:
        with arm(sandbox) as client:
            answer = client.post("/providers/Microsoft.ResourceGraph/resources", json=query)
            return [(row["name"], row["tags"]) for row in answer.json()["data"]]

    vault = add_vault(sandbox)
    assert found() == []
    jump(sandbox, 60)
    assert found() == [("kv-ingress", {})]
    with (
        EnvironmentCredential() as credential,
        KeyVaultManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        change: Any = {"tags": {"lease": "7"}}
        assert client.vaults.update(CLUSTER_GROUP, "kv-ingress", change).tags == {"lease": "7"}
        assert found() == [("kv-ingress", {})]
        jump(sandbox, 60)
        assert found() == [("kv-ingress", {"lease": "7"})]
        client.vaults.delete(CLUSTER_GROUP, "kv-ingress")
    assert [name for name, _ in found()] == ["kv-ingress"]
    jump(sandbox, 60)
    assert found() == []
    assert vault == vault_id(sandbox)

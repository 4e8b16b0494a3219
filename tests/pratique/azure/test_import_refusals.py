"""Why Azure refused an import: each cause has its own class and step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pratique import errors
from pratique.azure.registries import Registry, RegistryCredentials, Upstream, get_registry, import_image
from pratique.azure.session import AzureSession
from sandbox.registry_forms import RegistryPermissions
from sandbox.scenario import Credentials, Identity, PublicImage, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.registries import add_registry

PIPELINE = (Path(__file__).parents[3] / "infra" / "pipeline-role-registry-abac.condition").read_text()
NAME = "acraksabc"
DIGEST = "sha256:" + "a" * 64
KURED = Upstream("ghcr.io", "kubereboot/kured", DIGEST)
LIMIT = {"code": "TOOMANYREQUESTS", "message": "You have reached your unauthenticated pull rate limit."}


@pytest.fixture
async def registry(session: AzureSession, sandbox: RunningSandbox) -> Registry:
    add_registry(sandbox, NAME)
    return await get_registry(session, NAME)


async def _refused(session: AzureSession, registry: Registry, source: Upstream) -> errors.PratiqueError:
    with pytest.raises(errors.PratiqueError) as refused:
        await import_image(session, registry, source=source, targets=["quarantine/a:1"])
    return refused.value


@pytest.mark.parametrize(
    ("message", "kind", "step"),
    [
        (
            f"StatusCode: 429, Reason: Too Many Requests, Details: {json.dumps({'errors': [LIMIT]})}",
            "Throttled",
            "Wait",
        ),
        (f"Invalid message {json.dumps({'errors': [LIMIT]})}", "Throttled", "catalogue.credentials"),
        ("Invalid message: toomanyrequests: You have reached your pull rate limit.", "Throttled", "Wait"),
        ("Unexpected response status code 429 for ghcr.io/kubereboot/kured.", "Throttled", "Wait"),
        (
            'Invalid message Forbidden Forbidden {"errors":[{"code":"DENIED","message":"client with IP '
            '\\u0027192.0.2.7\\u0027 is not allowed access. Refer https://aka.ms/acr/firewall to grant access."}]}',
            "NetworkDenied",
            "Allow 192.0.2.7 in the firewall of ghcr.io",
        ),
        (f"Access to {NAME}.azurecr.io denied.", "NetworkDenied", f"az acr update -n {NAME} --allow-trusted-services"),
        (
            'Invalid message Unauthorized Unauthorized {"errors":[{"code":"UNAUTHORIZED","message":"authentication '
            'required"}]}',
            "OperationFailed",
            "add an account to catalogue.credentials",
        ),
        (
            "Unexpected response status code 403 for ghcr.io/kubereboot/kured.",
            "OperationFailed",
            "the repository's name",
        ),
        ("Unexpected response status code 404 for ghcr.io/kubereboot/kured.", "NotFound", "repository and digest"),
        ("The remote server may not be RFC 7233 compliant.", "OperationFailed", "Import from another registry"),
        ("Something else.", "OperationFailed", "Fix what the message names"),
    ],
)
async def test_each_cause_has_its_step(
    session: AzureSession, registry: Registry, sandbox: RunningSandbox, message: str, kind: str, step: str
) -> None:
    """As the polled operation reports them: JSON of the source registry, or text."""
    sandbox.azure.faults.add(kind="operation-fails", operation="import", code="InvalidParameters", message=message)
    refused = await _refused(session, registry, KURED)
    assert type(refused).__name__ == kind
    assert step in refused.remedy
    assert "a role with" not in refused.remedy


async def test_an_official_image_without_library(session: AzureSession, registry: Registry) -> None:
    """Docker Hub denies docker.io/nats; the step has the name that it knows."""
    refused = await _refused(session, registry, Upstream("docker.io", "nats", DIGEST))
    assert "UNAUTHORIZED" in refused.observed
    assert "Write docker.io/library/nats in the catalogue" in refused.remedy


async def test_a_private_image(start_sandbox: StartSandbox) -> None:
    """Without an account the step is to add one; with one it is to check that account."""
    sandbox = start_sandbox(
        Scenario(
            images=(PublicImage(reference="docker.io/acme/agent:1"),),
            private_repositories={"docker.io/acme/agent": Credentials(username="acme", password="swordfish")},
        )
    )
    add_registry(sandbox, NAME)
    async with AzureSession.open(poll_seconds=0.05) as session:
        registry = await get_registry(session, NAME)
        anonymous = await _refused(session, registry, Upstream("docker.io", "acme/agent", "1"))
        assert "add an account to catalogue.credentials" in anonymous.remedy
        account = RegistryCredentials("acme", "wrong-word")
        known = await _refused(session, registry, Upstream("docker.io", "acme/agent", "1", account))
        assert "Check the account in catalogue.credentials" in known.remedy
        assert "wrong-word" not in str(known)


async def test_a_target_that_bars_azure(session: AzureSession, sandbox: RunningSandbox) -> None:
    """A closed registry without the exception for Azure's services: the step lets them in."""
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled", networkRuleBypassOptions="None")
    refused = await _refused(session, await get_registry(session, NAME), KURED)
    assert isinstance(refused, errors.NetworkDenied)
    assert f"az acr update -n {NAME} --allow-trusted-services true" in refused.remedy


async def test_azures_own_limit_is_not_the_sources(
    session: AzureSession, registry: Registry, sandbox: RunningSandbox
) -> None:
    """A 429 of Resource Manager asks for no account at the source."""
    sandbox.azure.faults.add(kind="status", status=429, path="*/importImage", times=None)
    refused = await _refused(session, registry, KURED)
    assert isinstance(refused, errors.Throttled)
    assert "catalogue" not in refused.remedy


async def test_a_missing_right_names_the_action(start_sandbox: StartSandbox) -> None:
    """That is a role, whatever else the message says."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=("Reader",))))
    add_registry(sandbox, NAME)
    async with AzureSession.open() as session:
        refused = await _refused(session, await get_registry(session, NAME), KURED)
    assert isinstance(refused, errors.PermissionDenied)
    assert "importImage/action" in refused.remedy


async def test_an_import_under_a_condition_that_azure_may_not_read(start_sandbox: StartSandbox) -> None:
    """Azure may ask for the whole registry: the step then is the same right without the condition."""
    importer = "Container Registry Data Importer and Data Reader"
    permissions = RegistryPermissions(mode="abac", imports="registry")
    sandbox = start_sandbox(Scenario(identity=Identity(roles=(importer,)), registry_permissions=permissions))
    add_registry(sandbox, NAME)
    for assignment in sandbox.azure.access.assignments():
        if sandbox.azure.access.roles[assignment.role_guid].name == importer:
            assignment.condition = PIPELINE
    async with AzureSession.open() as session:
        refused = await _refused(session, await get_registry(session, NAME), KURED)
    assert isinstance(refused, errors.PermissionDenied)
    assert "repositories/content/read" in refused.observed
    assert "grant them without a condition" in refused.remedy

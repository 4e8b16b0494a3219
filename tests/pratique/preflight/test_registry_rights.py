"""What the identity may do with a registry's content, checked in the registry's own kind of permissions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pratique.azure.registries import Registry, get_registry, oci_client
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied
from pratique.images import ImageReference
from pratique.oci.acr import manifests, repositories
from pratique.oci.client import OciClient
from pratique.oci.pushing import delete_repository, empty_image, push
from pratique.preflight.registry_rights import check_reading, check_rights
from sandbox.core.rbac import RoleDefinition
from sandbox.registry_forms import RegistryPermissions
from sandbox.scenario import Identity, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import arm, group, owner
from tests.sandbox.registries import add_registry, registry_id

INFRA = Path(__file__).parents[3] / "infra"
NAME = "acrakscheck"
HOST = f"{NAME}.azurecr.io"
MODES = {"legacy": "LegacyRegistryPermissions", "abac": "AbacRepositoryPermissions"}
READER, CONTRIBUTOR, LISTER = (
    f"Container Registry Repository {name}" for name in ("Reader", "Contributor", "Catalog Lister")
)
PIPELINE = (INFRA / "pipeline-role-registry-abac.condition").read_text()
DRILL = (INFRA / "pipeline-role-drill-registry-abac.condition").read_text()


def registry_with(
    start: StartSandbox, mode: str, *roles: str, condition: str = "", **permissions: Any
) -> RunningSandbox:
    """A registry, and an identity that has these roles on its group, repository roles under the condition."""
    identity = Identity(roles=roles, subscription_roles=(), network_roles=())
    scenario = Scenario(identity=identity, registry_permissions=RegistryPermissions.model_validate(permissions))
    sandbox = start(scenario)
    access, me = sandbox.azure.access, identity.object_id
    add_registry(sandbox, NAME, roleAssignmentMode=MODES[mode])
    actions = ("Microsoft.Authorization/permissions/read", "Microsoft.ContainerRegistry/registries/read")
    access.roles["finder"] = RoleDefinition(guid="finder", name="Finder", actions=actions)
    access.assign(role="finder", principal_id=me, scope=group(sandbox), at_once=True)
    for assignment in access.assignments():
        role = access.roles[assignment.role_guid]
        if condition and role.name in (READER, CONTRIBUTOR):
            assignment.condition = condition
    return sandbox


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[AzureSession, OciClient, Registry]]:
    async with AzureSession.open() as session, httpx.AsyncClient(timeout=30) as http:
        yield session, oci_client(session, http, {}), await get_registry(session, NAME)


@pytest.mark.parametrize(
    ("mode", "roles", "says"),
    [
        ("legacy", ("AcrPull",), "has registry permissions"),
        ("abac", (READER, LISTER), "has repository permissions (ABAC"),
    ],
)
@pytest.mark.parametrize("shown", [True, False])
async def test_the_kind_is_said_and_the_roles_are_enough(
    start_sandbox: StartSandbox, mode: str, roles: tuple[str, ...], says: str, shown: bool
) -> None:
    """Where Resource Manager does not show the kind, it is not known, and the rights of either are enough."""
    registry_with(start_sandbox, mode, *roles, condition=PIPELINE, shown=shown)
    async with connected() as (session, client, registry):
        assert registry.permissions == (mode if shown else "unknown")
        assert (says if shown else "does not show") in await check_rights(session, registry)
        assert "lets this identity read quarantine/ and live/" in await check_reading(client, registry)


@pytest.mark.parametrize(
    ("mode", "roles", "lacks", "step"),
    [
        ("legacy", (READER, LISTER), "registries/pull/read", "AcrPull"),
        ("abac", ("AcrPull", "AcrPush"), "registries/catalog/read, ", "pipeline-role-registry-abac.condition"),
        ("abac", (READER,), "lacks Microsoft.ContainerRegistry/registries/catalog/read.", "Catalog Lister"),
        ("abac", ("Owner",), "repositories/content/read", "AcrPull, AcrPush and AcrDelete do not count there"),
    ],
)
async def test_a_missing_right_is_named_for_the_kind(
    start_sandbox: StartSandbox, mode: str, roles: tuple[str, ...], lacks: str, step: str
) -> None:
    """With the role, and the condition, that grant it there."""
    registry_with(start_sandbox, mode, *roles)
    async with connected() as (session, _, registry):
        with pytest.raises(PermissionDenied) as missing:
            await check_rights(session, registry)
    assert lacks in missing.value.observed
    assert step in missing.value.remedy


async def test_neither_kinds_rights_while_it_is_not_known(start_sandbox: StartSandbox) -> None:
    """Both are named."""
    registry_with(start_sandbox, "legacy", shown=False)
    async with connected() as (session, _, registry):
        with pytest.raises(PermissionDenied) as missing:
            await check_rights(session, registry)
    assert "pull/read, or, if the permissions are those of repositories," in missing.value.observed


@pytest.mark.parametrize("refusal", ["request", "token"])
async def test_a_condition_that_leaves_out_live(start_sandbox: StartSandbox, refusal: str) -> None:
    """Resource Manager's list of rights hides it; the registry itself does not."""
    condition = PIPELINE.replace("'live/'", "'lively/'")
    registry_with(start_sandbox, "abac", READER, LISTER, condition=condition, refusal=refusal)
    async with connected() as (session, client, registry):
        await check_rights(session, registry)
        with pytest.raises(PermissionDenied) as closed:
            await check_reading(client, registry)
    assert f"{HOST} has repository permissions (ABAC)" in closed.value.remedy
    assert "Container Registry Repository Reader" in closed.value.remedy
    assert "a condition that covers live/pratique-check" in closed.value.remedy


@pytest.mark.parametrize("refusal", ["request", "token"])
async def test_the_pipeline_reads_its_two_prefixes_and_writes_nothing(
    start_sandbox: StartSandbox, refusal: str
) -> None:
    """Under the shipped condition; each refusal names the role that it lacks."""
    registry_with(start_sandbox, "abac", READER, LISTER, condition=PIPELINE, refusal=refusal)
    async with connected() as (_, client, _):
        for repository in ("quarantine/app", "live/app", "live/quarantine-drill/app"):
            assert await client.head(ImageReference(HOST, repository, "1")) is None
        for repository in ("other/app", "liverpool/app", "quarantine", "live"):
            with pytest.raises(PermissionDenied, match="Container Registry Repository Reader"):
                await client.head(ImageReference(HOST, repository, "1"))
            with pytest.raises(PermissionDenied, match="Container Registry Repository Reader"):
                await manifests(client, HOST, repository)
        for repository in ("quarantine/app", "live/app", "live/quarantine-drill/app", "other/app"):
            with pytest.raises(PermissionDenied, match="Container Registry Repository Writer"):
                await push(client, ImageReference(HOST, repository, "1"), empty_image("a test"))
            with pytest.raises(PermissionDenied, match="Container Registry Repository Contributor"):
                await delete_repository(client, HOST, repository)


async def test_the_drill_writes_below_its_own_prefix_only(start_sandbox: StartSandbox) -> None:
    """Under the shipped condition it reads, pushes and deletes there, and nowhere else."""
    registry_with(start_sandbox, "abac", CONTRIBUTOR, condition=DRILL)
    image = empty_image("a test")
    async with connected() as (_, client, _):
        place = ImageReference(HOST, "live/quarantine-drill/pushed", "1")
        assert await push(client, place, image) == await client.head(place) == image.digest
        assert await delete_repository(client, HOST, place.repository)
        for repository in ("live/app", "live/quarantine-drill", "live/quarantine-drills/x", "quarantine/app", "other"):
            with pytest.raises(PermissionDenied, match="Container Registry Repository Writer"):
                await push(client, ImageReference(HOST, repository, "1"), image)
            with pytest.raises(PermissionDenied, match="Container Registry Repository Contributor"):
                await delete_repository(client, HOST, repository)
            with pytest.raises(PermissionDenied, match="Container Registry Repository Reader"):
                await client.head(ImageReference(HOST, repository, "1"))
        with pytest.raises(PermissionDenied, match="Container Registry Repository Catalog Lister"):
            await repositories(client, HOST, "live/")


async def test_a_run_outlives_a_change_of_the_kind(start_sandbox: StartSandbox) -> None:
    """Tokens of before are renewed; with the roles of both kinds nothing else is noticed."""
    sandbox = registry_with(start_sandbox, "legacy", "AcrPull", READER, condition=PIPELINE)
    place = ImageReference(HOST, "live/app", "1")
    async with connected() as (_, client, _):
        for mode in (MODES["abac"], MODES["legacy"], MODES["abac"]):
            assert await client.head(place) is None
            with arm(sandbox, owner(sandbox)) as administrator:
                body = {"properties": {"roleAssignmentMode": mode}}
                path = f"{registry_id(sandbox, NAME)}?api-version=2025-11-01"
                administrator.patch(path, json=body).raise_for_status()
            assert await client.head(place) is None

"""Registries are found, and images imported by digest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pratique.azure.import_pacing import paced_import
from pratique.azure.registries import Internal, Registry, Upstream, get_registry, import_image
from pratique.azure.session import AzureSession
from pratique.errors import Conflict, NotFound, PermissionDenied, PratiqueError
from sandbox.scenario import Identity, Scenario, Timings
from sandbox.services.public_registries.state import PublicRegistries
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.registries import add_registry, content

NAME = "acraksabc"
BUSYBOX = "library/busybox"


def upstream_digest(sandbox: RunningSandbox, repository: str = BUSYBOX, tag: str = "1.37.0") -> str:
    store: Any = sandbox.azure.state(PublicRegistries).store("docker.io")
    return str(store.manifest(repository, tag).manifest.digest)


@pytest.fixture
async def registry(session: AzureSession, sandbox: RunningSandbox) -> Registry:
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    return await get_registry(session, NAME)


async def test_a_registry_by_any_of_its_names(session: AzureSession, registry: Registry) -> None:
    """Name, login server, id, or name and group: the same registry."""
    assert (registry.login_server, registry.public_access) == (f"{NAME}.azurecr.io", False)
    for name in (NAME.upper(), registry.login_server, registry.id):
        assert await get_registry(session, name) == registry
    assert await get_registry(session, NAME, CLUSTER_GROUP) == registry


async def test_no_such_registry(session: AzureSession) -> None:
    """Not found, by name or in its group."""
    with pytest.raises(NotFound, match="az acr list"):
        await get_registry(session, "nowhere")
    with pytest.raises(NotFound):
        await get_registry(session, "nowhere", CLUSTER_GROUP)


async def test_a_registry_of_an_unknown_subscription(session: AzureSession, registry: Registry) -> None:
    """It is asked for where its id says, and the error names that subscription."""
    elsewhere = registry.id.replace(session.subscription_id, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(PratiqueError, match="00000000-0000-0000-0000-000000000000"):
        await get_registry(session, elsewhere)


async def test_imported_from_upstream_and_then_within(
    session: AzureSession, registry: Registry, sandbox: RunningSandbox
) -> None:
    """The very digest stands in quarantine and then in live; untagged where no tag is given."""
    digest = upstream_digest(sandbox)
    source = Upstream("docker.io", BUSYBOX, digest)
    await import_image(session, registry, source=source, targets=[f"quarantine/{BUSYBOX}:1.37.0"])
    inside = Internal(registry.id, f"quarantine/{BUSYBOX}", digest)
    await import_image(
        session, registry, source=inside, targets=[f"live/{BUSYBOX}:1.37.0"], untagged_repositories=["spare/busybox"]
    )
    store = content(sandbox, NAME)
    for repository, reference in ((f"quarantine/{BUSYBOX}", "1.37.0"), (f"live/{BUSYBOX}", "1.37.0")):
        assert store.manifest(repository, reference).manifest.digest == digest
    assert store.manifest("spare/busybox", digest).manifest.digest == digest


async def test_a_tag_that_exists_is_a_conflict(
    session: AzureSession, registry: Registry, sandbox: RunningSandbox
) -> None:
    """Unless the import is told to move it."""
    source = Upstream("docker.io", BUSYBOX, upstream_digest(sandbox))
    await import_image(session, registry, source=source, targets=["x:1"])
    with pytest.raises(Conflict, match="already exists in target registry"):
        await import_image(session, registry, source=source, targets=["x:1"])
    await import_image(session, registry, source=source, targets=["x:1"], force=True)


async def test_a_digest_that_is_not_there(session: AzureSession, registry: Registry) -> None:
    """What the source registry said is passed on."""
    source = Upstream("docker.io", BUSYBOX, "sha256:" + "0" * 64)
    with pytest.raises(NotFound, match="repository and digest"):
        await import_image(session, registry, source=source, targets=["x:1"])


async def test_a_registry_that_is_gone(session: AzureSession, registry: Registry, sandbox: RunningSandbox) -> None:
    """The target itself is missing."""
    gone = replace(registry, id=f"{registry.id}gone", name=f"{NAME}gone", login_server="gone.azurecr.io")
    source = Upstream("docker.io", BUSYBOX, upstream_digest(sandbox))
    with pytest.raises(NotFound):
        await import_image(session, gone, source=source, targets=["x:1"])


async def test_without_the_right_to_import(start_sandbox: StartSandbox) -> None:
    """The remedy names the action."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=("Reader",))))
    add_registry(sandbox, NAME)
    async with AzureSession.open() as session:
        registry = await get_registry(session, NAME)
        source = Upstream("docker.io", BUSYBOX, upstream_digest(sandbox))
        with pytest.raises(PermissionDenied) as refused:
            await import_image(session, registry, source=source, targets=["x:1"])
    assert "importImage/action" in refused.value.remedy


@pytest.mark.parametrize(
    ("version", "image"), [("1.37.0", "x/y:1.37.0"), ("sha256:" + "a" * 64, "x/y@sha256:" + "a" * 64)]
)
def test_an_upstream_image_is_named_by_digest_or_tag(version: str, image: str) -> None:
    """As importImage writes it."""
    assert Upstream("docker.io", "x/y", version).image == image


async def _import_two(session: AzureSession, registry: Registry, digest: str) -> None:
    """From upstream into quarantine, and from there into live."""

    async def first() -> None:
        source = Upstream("docker.io", BUSYBOX, digest)
        await import_image(session, registry, source=source, targets=["quarantine/a:1"], force=True)

    async def second() -> None:
        inside = Internal(registry.id, "quarantine/a", digest)
        await import_image(session, registry, source=inside, targets=["live/a:1"], force=True)

    await paced_import(session, registry, first)
    await paced_import(session, registry, second)


@pytest.mark.parametrize(
    "busy",
    [
        {"kind": "status", "status": 429, "path": "*/importImage", "times": 6},
        {"kind": "status", "status": 429, "path": "*/importImage", "times": 2, "retry_after": "1"},
        {"kind": "status", "status": 503, "path": "*/importImage", "times": 6},
        {"kind": "status", "status": 429, "path": "*/operationResults/*", "times": 4},
        {"kind": "status", "status": 503, "path": "*/operationResults/*", "times": 4},
        {"kind": "operation-fails", "operation": "import", "code": "TooManyRequests", "times": 3},
        {"kind": "operation-fails", "operation": "import", "code": "AnotherOperationInProgress", "times": 3},
    ],
    ids=lambda busy: f"{busy.get('status', '')}{busy.get('code', '')} {busy.get('path', '')}",
)
async def test_azure_is_too_busy_for_a_while(
    session: AzureSession, registry: Registry, sandbox: RunningSandbox, busy: dict[str, Any]
) -> None:
    """Whether Resource Manager, the registry or the poll is refused: the images are imported in the end."""
    fault, digest = sandbox.azure.faults.add(**busy), upstream_digest(sandbox)
    await _import_two(session, registry, digest)
    assert fault.hits == busy["times"]
    assert content(sandbox, NAME).manifest("live/a", "1").manifest.digest == digest


async def test_imports_are_not_refused_for_their_number(start_sandbox: StartSandbox) -> None:
    """More imports at once than the write bucket holds, in two sessions: Resource Manager refuses none of them."""
    sandbox = start_sandbox(Scenario(timings=Timings(import_image=5)))
    add_registry(sandbox, NAME)
    digest = upstream_digest(sandbox)

    async def work(session: AzureSession, registry: Registry, number: int) -> None:
        source = Upstream("docker.io", BUSYBOX, digest)
        await import_image(session, registry, source=source, targets=[f"quarantine/a:{number}"], force=True)

    async with AzureSession.open() as one, AzureSession.open() as other:
        registry = await get_registry(one, NAME)
        sessions = [(one, number) for number in range(125)] + [(other, number) for number in range(125, 250)]
        await asyncio.gather(
            *(paced_import(session, registry, partial(work, session, registry, number)) for session, number in sessions)
        )
        assert one.pace is other.pace
    requests = [request for request in sandbox.azure.requests.since(0) if request.host == "management.azure.com"]
    assert 429 not in [request.status for request in requests]
    assert len(content(sandbox, NAME).repository("quarantine/a").tags) == 250

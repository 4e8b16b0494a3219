"""Pushing a small image to a registry, and deleting a repository."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from pratique.azure.session import AzureSession
from pratique.errors import NetworkDenied, PermissionDenied
from pratique.images import ImageReference
from pratique.oci.auth import Authenticator
from pratique.oci.client import OciClient
from pratique.oci.pushing import delete_repository, empty_image, push, repository_exists
from sandbox.scenario import Client, Identity, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.registries import add_registry

HOST = "acrakspush.azurecr.io"
PLACE = ImageReference(HOST, "live/a/b", "1")
IMAGE = empty_image("a test")


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[OciClient]:
    add_registry(sandbox, "acrakspush")
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        yield OciClient(http, Authenticator(http, entra=session.registry_token))


async def test_pushed_and_deleted(client: OciClient) -> None:
    """A pushed image resolves to its digest, also when pushed again; after deletion it no longer exists."""
    assert not await repository_exists(client, HOST, PLACE.repository)
    for _ in range(2):
        assert await push(client, PLACE, IMAGE) == IMAGE.digest
    found = await client.resolve(PLACE)
    assert (found.digest, [manifest.platform for manifest in found.platforms]) == (IMAGE.digest, ["linux/amd64"])
    assert await repository_exists(client, HOST, PLACE.repository)
    assert await delete_repository(client, HOST, PLACE.repository)
    assert not await repository_exists(client, HOST, PLACE.repository)
    assert not await delete_repository(client, HOST, PLACE.repository)


async def test_the_same_text_is_the_same_image() -> None:
    """The same text always gives the same digest, by which a drill recognises its image."""
    assert empty_image("a test") == IMAGE
    assert empty_image("another").digest != IMAGE.digest


async def test_without_the_right(start_sandbox: StartSandbox) -> None:
    """Pushing and deleting without the right name the missing action, also where there is nothing to delete."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=("AcrPull",))))
    add_registry(sandbox, "acrakspush")
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        with pytest.raises(PermissionDenied, match="registries/push/write"):
            await push(client, PLACE, IMAGE)
        with pytest.raises(PermissionDenied, match="registries/artifacts/delete"):
            await delete_repository(client, HOST, PLACE.repository)


async def test_a_closed_registry(start_sandbox: StartSandbox) -> None:
    """A closed network raises NetworkDenied, not PermissionDenied."""
    sandbox = start_sandbox(Scenario(client=Client(private_links=frozenset())))
    add_registry(sandbox, "acrakspush", publicNetworkAccess="Disabled")
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        for attempt in (push(client, PLACE, IMAGE), delete_repository(client, HOST, PLACE.repository)):
            with pytest.raises(NetworkDenied):
                await attempt

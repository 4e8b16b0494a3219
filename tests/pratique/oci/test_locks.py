"""Locking tags and manifests, reading back what is locked, and the errors of what a lock refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from pratique.azure.registries import Internal, Registry, get_registry, import_image, oci_client
from pratique.azure.session import AzureSession
from pratique.errors import NotFound, PermissionDenied, Prohibited, UnreadableAnswer
from pratique.images import LIVE, ImageReference
from pratique.oci import acr
from pratique.oci.acr import Flags
from pratique.oci.client import OciClient
from pratique.oci.locks import Part, lock, read_content, unlock, unlock_everything
from pratique.oci.pushing import delete_manifest, delete_repository, delete_tag, empty_image, push
from pratique.rescan.pull_block import set_pulls
from sandbox.registry_forms import RegistryLocks
from sandbox.scenario import Identity, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.oci.in_memory import client_of, registry_client
from tests.sandbox.defending import FALCO, NAME, bring
from tests.sandbox.registries import add_registry

HOST = f"{NAME}.azurecr.io"
REPOSITORY, TAG = f"{LIVE}{FALCO}", "0.10.1"
PLACE = ImageReference(HOST, REPOSITORY, TAG)


@dataclass(frozen=True)
class Connected:
    """An image in live/, and clients of its registry.

    :ivar digest: of the image's index
    """

    session: AzureSession
    client: OciClient
    registry: Registry
    digest: str

    @property
    def parts(self) -> list[Part]:
        return [Part(REPOSITORY, TAG), Part(REPOSITORY, self.digest)]


async def connect(sandbox: RunningSandbox) -> AsyncIterator[Connected]:
    add_registry(sandbox, NAME)
    digest = await bring(sandbox, prefix=LIVE)
    async with AzureSession.open(poll_seconds=0.02) as session, httpx.AsyncClient() as http:
        yield Connected(session, oci_client(session, http, {}), await get_registry(session, NAME), digest)


@pytest.fixture
async def live(sandbox: RunningSandbox) -> AsyncIterator[Connected]:
    async for connected in connect(sandbox):
        yield connected


async def test_locked_and_unlocked(live: Connected) -> None:
    """Tag and manifest are locked apart; what is below an index is listed; unlocking lifts what locking has set."""
    tag, manifest = live.parts
    content = await read_content(live.client, HOST, REPOSITORY)
    assert [content.is_locked(part) for part in live.parts] == [False, False]
    assert content.below(live.digest) == {*content.manifests[live.digest].children}
    assert content.below(live.digest)
    assert content.flags == Flags()
    await lock(live.client, HOST, tag)
    await lock(live.client, HOST, manifest)
    content = await read_content(live.client, HOST, REPOSITORY)
    assert [content.is_locked(part) for part in live.parts] == [True, True]
    assert content.tags[TAG].flags == Flags(delete=False, write=False)
    assert content.manifests[live.digest].flags == Flags(delete=False)
    for part in live.parts:
        await unlock(live.client, HOST, part)
    content = await read_content(live.client, HOST, REPOSITORY)
    assert {content.tags[TAG].flags, content.manifests[live.digest].flags} == {Flags()}
    assert not content.is_locked(Part(REPOSITORY, "absent"))
    with pytest.raises(NotFound):
        await lock(live.client, HOST, Part(REPOSITORY, "absent"))


async def test_what_a_lock_refuses_is_named(live: Connected) -> None:
    """A push, and each way to delete: the error says that a lock forbids it, and that in live/ it is the seal."""
    for part in live.parts:
        await lock(live.client, HOST, part)
    for attempt in (
        push(live.client, PLACE, empty_image("other")),
        delete_tag(live.client, PLACE),
        delete_manifest(live.client, PLACE.at(live.digest)),
        delete_repository(live.client, HOST, REPOSITORY),
    ):
        with pytest.raises(Prohibited, match="REGISTRY_DISALLOWED_OPERATION") as refused:
            await attempt
        assert "seal_live" in refused.value.remedy
    assert await live.client.head(PLACE) == live.digest
    assert set(await unlock_everything(live.client, HOST, REPOSITORY)) == {*live.parts}
    assert await unlock_everything(live.client, HOST, REPOSITORY) == []
    await delete_manifest(live.client, PLACE.at(live.digest))


@pytest.mark.parametrize("form", ["fail", "conflict"])
async def test_an_import_that_a_lock_refuses(start_sandbox: StartSandbox, form: Any) -> None:
    """In whatever form Azure refuses it: the same error, and never that the tag exists."""
    sandbox = start_sandbox(Scenario(registry_locks=RegistryLocks(forced_imports=form)))
    async for live in connect(sandbox):
        await lock(live.client, HOST, live.parts[0])
        content = await read_content(live.client, HOST, REPOSITORY)
        source = Internal(live.registry.id, REPOSITORY, min(content.below(live.digest)))
        with pytest.raises(Prohibited, match="operation is disallowed") as refused:
            await import_image(live.session, live.registry, source=source, targets=[f"{REPOSITORY}:{TAG}"], force=True)
        assert "seal_live" in refused.value.remedy


async def test_a_pull_block_keeps_the_lock(live: Connected) -> None:
    """And the other way round: each changes its own attributes. A blocked pull is refused with the reason."""
    digest = PLACE.at(live.digest)
    await lock(live.client, HOST, live.parts[1])
    await set_pulls(live.client, digest, allowed=False)
    flags = (await read_content(live.client, HOST, REPOSITORY)).manifests[live.digest].flags
    assert flags == Flags(delete=False, read=False)
    for ask in (live.client.manifest(digest), live.client.head(digest)):
        with pytest.raises(Prohibited, match="disallowed"):
            await ask
    await unlock(live.client, HOST, live.parts[1])
    assert not await acr.readable(live.client, digest)
    await lock(live.client, HOST, live.parts[1])
    await set_pulls(live.client, digest, allowed=True)
    flags = (await read_content(live.client, HOST, REPOSITORY)).manifests[live.digest].flags
    assert flags == Flags(delete=False)


async def test_without_the_right(start_sandbox: StartSandbox) -> None:
    """AcrPush sets no locks; the error names the right and the role that has it."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=("AcrPush",))))
    add_registry(sandbox, NAME)
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = oci_client(session, http, {})
        await push(client, PLACE, empty_image("a test"))
        with pytest.raises(PermissionDenied, match="registries/metadata/write") as refused:
            await lock(client, HOST, Part(REPOSITORY, TAG))
    assert "infra/pipeline-role-seal-registry.json" in refused.value.remedy


def tag_list(entry: Any) -> httpx.Response:
    return httpx.Response(200, json={"registry": HOST, "imageName": REPOSITORY, "tags": [entry]})


@pytest.mark.parametrize(
    ("flags", "locked"),
    [
        ({"changeableAttributes": {"writeEnabled": False, "deleteEnabled": True}}, True),
        ({"changeableAttributes": {"writeEnabled": True, "deleteEnabled": False}}, False),
        ({"writeEnabled": False}, True),
        ({"changeableAttributes": {"writeEnabled": True}, "writeEnabled": False}, True),
        ({"changeableAttributes": None}, False),
        ({"changeableAttributes": {"writeEnabled": "no"}}, False),
        ({}, False),
    ],
)
async def test_flags_in_either_place(flags: dict[str, Any], locked: bool) -> None:
    """Beside the name or in a part of the entry. Only an explicit no is a lock: what is not said is not locked."""
    entry = {"name": TAG, "digest": "sha256:" + "a" * 64, **flags}
    async with client_of(lambda _: tag_list(entry)) as http:
        (tag,) = await acr.tags(registry_client(http), HOST, REPOSITORY)
    assert tag.flags.write is not locked


@pytest.mark.parametrize(
    "entry", [{"name": TAG}, {"name": "../x", "digest": "sha256:" + "a" * 64}, {"name": TAG, "digest": "x"}, 5]
)
async def test_a_list_of_something_else(entry: Any) -> None:
    """Names and digests become parts of URLs, so nothing else is taken for one."""
    async with client_of(lambda _: tag_list(entry)) as http:
        with pytest.raises(UnreadableAnswer):
            await acr.tags(registry_client(http), HOST, REPOSITORY)

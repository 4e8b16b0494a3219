"""One client for public registries and Azure's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pratique.azure.session import AzureSession
from pratique.errors import AuthenticationFailed, NetworkDenied, NotFound, PermissionDenied, Throttled
from pratique.images import ImageReference
from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient
from sandbox.scenario import Client, Credentials, Identity, Scenario
from sandbox.services.oci.catalogue import WALKTHROUGH
from sandbox.services.oci.images import build
from sandbox.services.public_registries.state import PublicRegistries
from tests.sandbox.defending import FALCO, NAME, bring
from tests.sandbox.registries import add_registry

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

BUSYBOX = ImageReference.parse("docker.io/library/busybox:1.37.0")
HOST = f"{NAME}.azurecr.io"
QUARANTINED = ImageReference(HOST, f"quarantine/{FALCO}", "0.10.1")


@pytest.fixture
async def http(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
async def anonymous(http: httpx.AsyncClient) -> OciClient:
    return OciClient(http, Authenticator(http))


@pytest.fixture
async def as_pipeline(http: httpx.AsyncClient) -> AsyncIterator[OciClient]:
    async with AzureSession.open() as session:
        yield OciClient(http, Authenticator(http, entra=session.registry_token))


def requests(sandbox: RunningSandbox, path: str) -> int:
    return sum(entry.path.startswith(path) for entry in sandbox.azure.requests.since(0))


@pytest.mark.parametrize("spec", WALKTHROUGH, ids=lambda spec: spec.repository)
async def test_every_image_of_the_walkthrough_resolves(anonymous: OciClient, spec: Any) -> None:
    """Its index's digest, and each platform that can be run, without the attestations beside them."""
    image = build(spec)
    resolved = await anonymous.resolve(ImageReference(spec.registry, spec.repository, spec.tag))
    assert resolved.digest == image.index.digest
    runnable = [e for e in image.index.body["manifests"] if e["platform"]["os"] != "unknown"]
    assert [(p.platform.split("/")[1], p.digest) for p in resolved.platforms] == [
        (entry["platform"]["architecture"], entry["digest"]) for entry in runnable
    ]


async def test_a_single_manifest_is_its_only_platform(anonymous: OciClient) -> None:
    """The platform is read from its configuration."""
    index = await anonymous.resolve(BUSYBOX)
    one = index.platforms[0]
    resolved = await anonymous.resolve(BUSYBOX.at(one.digest))
    assert resolved.digest == one.digest
    assert resolved.platforms == (one,)


async def test_a_head_tells_the_digest_alone(anonymous: OciClient) -> None:
    """And nothing for a tag that is not there."""
    resolved = await anonymous.resolve(BUSYBOX)
    assert await anonymous.head(BUSYBOX) == resolved.digest
    assert await anonymous.head(ImageReference.parse("docker.io/library/busybox:0.0.0")) is None


async def test_tokens_are_kept(anonymous: OciClient, sandbox: RunningSandbox) -> None:
    """Ten requests at once ask for one token."""
    await asyncio.gather(*(anonymous.head(BUSYBOX) for _ in range(10)))
    await anonymous.head(BUSYBOX)
    assert requests(sandbox, "/token") == 1


async def test_a_tag_that_is_not_there(anonymous: OciClient) -> None:
    """The registry's code is passed on."""
    with pytest.raises(NotFound, match="MANIFEST_UNKNOWN"):
        await anonymous.resolve(ImageReference.parse("docker.io/library/busybox:0.0.0"))


async def test_a_repository_that_is_not_there(anonymous: OciClient) -> None:
    """Docker Hub does not tell the absent from the private, so the remedy speaks of both."""
    with pytest.raises((AuthenticationFailed, PermissionDenied, NotFound)):
        await anonymous.resolve(ImageReference.parse("docker.io/library/nothing:1"))


async def test_a_private_repository_opens_to_its_login(start_sandbox: StartSandbox) -> None:
    """And to nobody else; the password is in no message."""
    known = Credentials(username="robot", password="open-sesame")
    start_sandbox(Scenario(private_repositories={"docker.io/library/busybox": known}))
    async with httpx.AsyncClient() as http:
        for password, opens in (("open-sesame", True), ("wrong-word", False)):
            login = {"docker.io": Login("robot", password)}
            client = OciClient(http, Authenticator(http, logins=login))
            if opens:
                assert (await client.resolve(BUSYBOX)).platforms
                continue
            with pytest.raises((AuthenticationFailed, PermissionDenied)) as refused:
                await client.resolve(BUSYBOX)
            assert password not in str(refused.value)


async def test_the_pull_limit(start_sandbox: StartSandbox) -> None:
    """Docker Hub's 429 is a pace, not a refusal."""
    start_sandbox(Scenario(docker_hub_pull_limit=1))
    async with httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http))
        await client.manifest(BUSYBOX)
        with pytest.raises(Throttled):
            await client.manifest(BUSYBOX)


async def test_an_azure_registry(as_pipeline: OciClient, sandbox: RunningSandbox) -> None:
    """The Entra ID token is exchanged, and an imported image is read back."""
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    await as_pipeline.ping(HOST)
    assert await as_pipeline.head(QUARANTINED) is None
    digest = await bring(sandbox)
    assert await as_pipeline.head(QUARANTINED) == digest
    assert (await as_pipeline.resolve(QUARANTINED)).digest == digest


async def test_a_refused_look_that_a_read_explains(as_pipeline: OciClient, sandbox: RunningSandbox) -> None:
    """A HEAD that is refused once, for an image that is not there, ends as 'not there'."""
    add_registry(sandbox, NAME)
    sandbox.azure.faults.add(kind="status", status=403, method="HEAD")
    assert await as_pipeline.head(QUARANTINED) is None


async def test_one_exchange_serves_all_repositories(as_pipeline: OciClient, sandbox: RunningSandbox) -> None:
    """The Entra ID token is exchanged once a registry; each repository has a token of its own."""
    add_registry(sandbox, NAME)
    for repository in ("quarantine/a", "quarantine/b", "live/a"):
        assert await as_pipeline.head(ImageReference(HOST, repository, "1")) is None
    asked = [entry.path for entry in sandbox.azure.requests.since() if entry.method == "POST" and entry.host == HOST]
    assert sorted(asked) == ["/oauth2/exchange", *["/oauth2/token"] * 3]


async def test_an_azure_registry_without_a_right(start_sandbox: StartSandbox) -> None:
    """Signed in, but not allowed to pull."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=())))
    add_registry(sandbox, NAME)
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        with pytest.raises((AuthenticationFailed, PermissionDenied)):
            await client.resolve(QUARANTINED)


async def test_an_azure_registry_that_cannot_be_seen(start_sandbox: StartSandbox) -> None:
    """From the walkthrough's laptop: the network keeps it out, which is not 'not there'."""
    sandbox = start_sandbox(Scenario(client=Client(private_links=frozenset())))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        for ask in (client.head, client.resolve):
            with pytest.raises(NetworkDenied, match="not allowed access"):
                await ask(QUARANTINED)
        with pytest.raises(NetworkDenied):
            await client.ping(HOST)


async def test_a_host_that_the_proxy_refuses(anonymous: OciClient) -> None:
    """A registry that this network does not let through is told as such."""
    with pytest.raises(NetworkDenied, match="proxy"):
        await anonymous.resolve(ImageReference.parse("quay.example/a/b:1"))


async def test_public_registries_have_no_referrers(anonymous: OciClient) -> None:
    """By whichever way the registry answers that."""
    resolved = await anonymous.resolve(BUSYBOX)
    assert await anonymous.referrers(resolved.pinned, "application/vnd.in-toto+json") == []


async def test_a_tag_moves_and_the_digest_stays(anonymous: OciClient, sandbox: RunningSandbox) -> None:
    """What is asked for by digest is the same before and after."""
    before = await anonymous.resolve(BUSYBOX)
    spec = next(spec for spec in WALKTHROUGH if spec.repository == "library/busybox")
    other = next(spec for spec in WALKTHROUGH if spec.repository == FALCO)

    async def move() -> None:
        moved = type(spec)(spec.registry, spec.repository, spec.tag, other.base)
        sandbox.azure.state(PublicRegistries).publish(moved)

    await asyncio.to_thread(sandbox.run, move())
    assert await anonymous.head(BUSYBOX) != before.digest
    assert (await anonymous.resolve(before.pinned)).platforms == before.platforms

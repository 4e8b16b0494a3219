"""The registry client, with public registries and Azure's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pratique.azure.session import AzureSession
from pratique.errors import AuthenticationFailed, NetworkDenied, NotFound, PermissionDenied, Throttled
from pratique.images import ImageReference
from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient
from pratique.oci.referrers import list_referrers
from sandbox.scenario import Client, Credentials, Identity, Scenario
from sandbox.services.oci.catalogue import WALKTHROUGH
from sandbox.services.oci.images import ImageSpec, build
from sandbox.services.public_registries.state import PublicRegistries
from tests.sandbox.defending import FALCO, NAME, bring
from tests.sandbox.registries import add_registry
from tests.waiting import HANGS, UNTIL_A_JUMP, until

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
    """Resolving gives the index's digest and each runnable platform, without attestations."""
    image = build(spec)
    resolved = await anonymous.resolve(ImageReference(spec.registry, spec.repository, spec.tag))
    assert resolved.digest == image.index.digest
    runnable = [e for e in image.index.body["manifests"] if e["platform"]["os"] != "unknown"]
    assert [(p.platform.split("/")[1], p.digest) for p in resolved.platforms] == [
        (entry["platform"]["architecture"], entry["digest"]) for entry in runnable
    ]


async def test_a_single_manifest_is_its_only_platform(anonymous: OciClient) -> None:
    """The platform of a single manifest is read from its configuration."""
    index = await anonymous.resolve(BUSYBOX)
    manifest = index.platforms[0]
    resolved = await anonymous.resolve(BUSYBOX.at(manifest.digest))
    assert resolved.digest == manifest.digest
    assert resolved.platforms == (manifest,)


async def test_a_head_gives_only_the_digest(anonymous: OciClient) -> None:
    """A HEAD gives the digest of a tag, and None for a tag that does not exist."""
    resolved = await anonymous.resolve(BUSYBOX)
    assert await anonymous.head(BUSYBOX) == resolved.digest
    assert await anonymous.head(ImageReference.parse("docker.io/library/busybox:0.0.0")) is None


async def test_tokens_are_cached(anonymous: OciClient, sandbox: RunningSandbox) -> None:
    """Ten concurrent requests get one token."""
    await asyncio.gather(*(anonymous.head(BUSYBOX) for _ in range(10)))
    await anonymous.head(BUSYBOX)
    assert requests(sandbox, "/token") == 1


async def test_a_missing_tag(anonymous: OciClient) -> None:
    """The error contains the registry's own code."""
    with pytest.raises(NotFound, match="MANIFEST_UNKNOWN"):
        await anonymous.resolve(ImageReference.parse("docker.io/library/busybox:0.0.0"))


async def test_a_missing_repository(anonymous: OciClient) -> None:
    """Docker Hub does not distinguish missing from private repositories, so the remedy mentions both."""
    with pytest.raises((AuthenticationFailed, PermissionDenied, NotFound)):
        await anonymous.resolve(ImageReference.parse("docker.io/library/nothing:1"))


async def test_a_private_repository_needs_its_login(start_sandbox: StartSandbox) -> None:
    """Only the right login can read it; the password is in no message."""
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
    """Docker Hub's 429 is throttling, not a permanent error."""
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


async def test_a_rejected_head_is_followed_by_a_get(as_pipeline: OciClient, sandbox: RunningSandbox) -> None:
    """A HEAD that is rejected once, for a missing image, gives None after the GET."""
    add_registry(sandbox, NAME)
    sandbox.azure.faults.add(kind="status", status=403, method="HEAD")
    assert await as_pipeline.head(QUARANTINED) is None


async def test_one_exchange_serves_all_repositories(as_pipeline: OciClient, sandbox: RunningSandbox) -> None:
    """The Entra ID token is exchanged once per registry; each repository has its own access token."""
    add_registry(sandbox, NAME)
    for repository in ("quarantine/a", "quarantine/b", "live/a"):
        assert await as_pipeline.head(ImageReference(HOST, repository, "1")) is None
    asked = [entry.path for entry in sandbox.azure.requests.since() if entry.method == "POST" and entry.host == HOST]
    assert sorted(asked) == ["/oauth2/exchange", *["/oauth2/token"] * 3]


async def test_each_token_is_fetched_once(as_pipeline: OciClient, sandbox: RunningSandbox) -> None:
    """Of many requests at once, one is challenged; the others fetch a token for each repository, and no second one."""
    add_registry(sandbox, NAME)
    places = [ImageReference(HOST, f"quarantine/{number}", str(tag)) for number in range(10) for tag in range(5)]
    assert set(await asyncio.gather(*map(as_pipeline.head, places))) == {None}
    entries = [entry for entry in sandbox.azure.requests.since() if entry.host == HOST]
    tokens = Counter(entry.path for entry in entries if entry.method == "POST")
    assert tokens == {"/oauth2/exchange": 1, "/oauth2/token": 10}
    assert [entry.status for entry in entries].count(401) == 1


async def test_a_registry_that_does_not_answer_keeps_nobody_waiting(
    as_pipeline: OciClient, sandbox: RunningSandbox
) -> None:
    """If the first request fails or is cancelled, the others are sent at once."""
    add_registry(sandbox, NAME)
    fault = sandbox.azure.faults.add(kind="timeout", host=HOST, seconds=UNTIL_A_JUMP)
    first = asyncio.create_task(as_pipeline.head(QUARANTINED))
    others = [asyncio.create_task(as_pipeline.head(QUARANTINED)) for _ in range(3)]
    await until(lambda: fault.hits == 1)
    first.cancel()
    async with asyncio.timeout(HANGS):
        assert await asyncio.gather(*others) == [None] * 3


async def test_a_token_that_is_refused_ahead_is_not_the_end(http: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A registry that has asked for a token before may answer without one."""
    client = OciClient(http, Authenticator(http))
    await client.head(BUSYBOX)
    sandbox.azure.faults.add(kind="status", status=403, host="auth.docker.io", times=None)
    with pytest.raises(PermissionDenied):
        await client.head(ImageReference.parse("docker.io/library/nothing:1"))
    challenged = [entry for entry in sandbox.azure.requests.since() if entry.status == 401]
    assert [entry.method for entry in challenged] == ["HEAD", "HEAD", "GET"]


async def test_an_azure_registry_without_a_right(start_sandbox: StartSandbox) -> None:
    """An identity that may not pull gets an error about the missing right."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=())))
    add_registry(sandbox, NAME)
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        with pytest.raises((AuthenticationFailed, PermissionDenied)):
            await client.resolve(QUARANTINED)


async def test_an_unreachable_azure_registry(start_sandbox: StartSandbox) -> None:
    """A laptop outside the network gets NetworkDenied, not NotFound."""
    sandbox = start_sandbox(Scenario(client=Client(private_links=frozenset())))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        for ask in (client.head, client.resolve):
            with pytest.raises(NetworkDenied, match="not allowed access"):
                await ask(QUARANTINED)
        with pytest.raises(NetworkDenied):
            await client.ping(HOST)


async def test_a_host_that_the_proxy_denies(anonymous: OciClient) -> None:
    """A registry that the network's proxy denies raises NetworkDenied."""
    with pytest.raises(NetworkDenied, match="proxy"):
        await anonymous.resolve(ImageReference.parse("quay.example/a/b:1"))


async def test_public_registries_have_no_referrers(anonymous: OciClient) -> None:
    """A registry without referrers gives an empty list, however it responds."""
    resolved = await anonymous.resolve(BUSYBOX)
    assert (await list_referrers(anonymous, resolved.pinned)).found == ()


async def test_a_tag_moves_and_the_digest_stays(anonymous: OciClient, sandbox: RunningSandbox) -> None:
    """An image requested by digest is the same before and after its tag moves."""
    before = await anonymous.resolve(BUSYBOX)
    spec = next(spec for spec in WALKTHROUGH if spec.repository == "library/busybox")
    other = next(spec for spec in WALKTHROUGH if spec.repository == FALCO)

    async def move() -> None:
        moved = ImageSpec(registry=spec.registry, repository=spec.repository, tag=spec.tag, base=other.base)
        sandbox.azure.state(PublicRegistries).publish(moved)

    await asyncio.to_thread(sandbox.run, move())
    assert await anonymous.head(BUSYBOX) != before.digest
    assert (await anonymous.resolve(before.pinned)).platforms == before.platforms

"""What registries and their token endpoints refuse, and what stands in their place, is named for what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from pratique import errors
from pratique.azure.session import AzureSession
from pratique.images import ImageReference
from pratique.oci.auth import Authenticator
from pratique.oci.client import OciClient
from pratique.oci.media_types import OCI_MANIFEST
from sandbox.scenario import PublicImage, Scenario
from sandbox.services.public_registries.state import FOREIGN, PublicRegistries
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.oci.in_memory import client_of, registry_client

BUSYBOX = ImageReference.parse("docker.io/library/busybox:1.37.0")
ABSENT = ImageReference.parse("ghcr.io/acme/absent:1")
SHARED = ImageReference.parse(f"{FOREIGN}/shared/agent:1")
LIMIT = "You have reached your unauthenticated pull rate limit."


@pytest.fixture
async def anonymous(sandbox: RunningSandbox) -> AsyncIterator[OciClient]:
    async with httpx.AsyncClient() as http:
        yield OciClient(http, Authenticator(http))


@pytest.fixture
def shared(start_sandbox: StartSandbox) -> RunningSandbox:
    """A sandbox in which another tenant's registry holds an image."""
    return start_sandbox(Scenario(images=(PublicImage(reference=str(SHARED)),)))


async def test_a_token_endpoint_that_refuses(anonymous: OciClient) -> None:
    """GitHub's answers 403 for a repository that does not exist: the step is its name, and an account."""
    with pytest.raises(errors.PermissionDenied) as refused:
        await anonymous.resolve(ABSENT)
    assert refused.value.observed.startswith("Its token endpoint refuses repository:acme/absent:pull: 403 DENIED")
    assert "Check the name: some registries answer 403" in refused.value.remedy
    assert "catalogue.credentials" in refused.value.remedy


@pytest.mark.parametrize(("host", "path"), [("registry-1.docker.io", "/v2/*"), ("auth.docker.io", "/token")])
async def test_a_login_page(anonymous: OciClient, sandbox: RunningSandbox, host: str, path: str) -> None:
    """A web page with status 200, of the registry or of its token endpoint, is neither an image nor a token."""
    sandbox.azure.faults.add(kind="web-page", host=host, path=path, times=None)
    for ask in (anonymous.resolve(BUSYBOX), anonymous.head(BUSYBOX), anonymous.ping("docker.io")):
        with pytest.raises(errors.UnreadableAnswer, match=rf"{host} answers with a web page") as refused:
            await ask
        assert "Check the registry's address" in refused.value.remedy


async def test_a_login_page_in_place_of_a_blob() -> None:
    """It is no registry that delivers wrong bytes."""
    page = httpx.Response(200, html="<html><body>Sign in</body></html>")
    async with client_of(lambda _: page) as http:
        with pytest.raises(errors.UnreadableAnswer, match="a web page"):
            await registry_client(http).blob(BUSYBOX, "sha256:" + "a" * 64)


async def test_a_redirect_to_a_login_page() -> None:
    """The host of the page is named, not the one that was asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "sso.example":
            return httpx.Response(200, html="<!doctype html>")
        return httpx.Response(302, headers={"Location": "https://sso.example/login?to=x"})

    async with client_of(answer) as http:
        with pytest.raises(errors.UnreadableAnswer, match=r"sso\.example answers with a web page"):
            await registry_client(http).resolve(ImageReference.parse("registry.example/a/b:1"))


@pytest.mark.parametrize("honest", [True, False])
async def test_a_sha512_digest(honest: bool) -> None:
    """It is legal, and no image of Azure's; where it does not match the bytes it is a mismatch like any other."""
    content = json.dumps({"config": {}}).encode()
    digest = "sha512:" + hashlib.sha512(content if honest else b"other").hexdigest()
    headers = {"Docker-Content-Digest": digest, "Content-Type": OCI_MANIFEST}
    async with client_of(lambda _: httpx.Response(200, headers=headers, content=content)) as http:
        client = registry_client(http)
        for ask in (client.resolve(BUSYBOX), client.head(BUSYBOX)):
            with pytest.raises(errors.UnreadableAnswer if honest else errors.DigestMismatch) as refused:
                await ask
            assert ("SHA-512" in refused.value.observed) is honest


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("host", ["registry-1.docker.io", "auth.docker.io"])
async def test_the_pull_limit_as_json_and_as_text(
    anonymous: OciClient, sandbox: RunningSandbox, host: str, plain: bool
) -> None:
    """Throttling in both forms, of the registry and of its token endpoint, with its own words."""
    path = "/token" if host.startswith("auth") else "*/manifests/*"
    sandbox.azure.faults.add(kind="status", status=429, host=host, path=path, message=LIMIT, plain=plain, times=None)
    with pytest.raises(errors.Throttled, match=LIMIT) as refused:
        await anonymous.resolve(BUSYBOX)
    assert "credentials" in refused.value.remedy


@pytest.mark.parametrize("status", [401, 403])
async def test_a_foreign_azure_registry_is_asked_anonymously(shared: RunningSandbox, status: int) -> None:
    """Whether it answers 401 or 403 to the exchange: what it gives to anybody is used, and no Entra ID token for it."""
    if status == 403:
        shared.azure.faults.add(kind="status", status=403, host=FOREIGN, path="/oauth2/exchange", times=None)
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        resolved = await client.resolve(SHARED)
        expected = shared.azure.state(PublicRegistries).store(FOREIGN)
        assert expected is not None
        assert resolved.digest == expected.manifest("shared/agent", "1").manifest.digest
        with pytest.raises((errors.AuthenticationFailed, errors.NotFound)):
            await client.resolve(ImageReference.parse(f"{FOREIGN}/shared/absent:1"))


async def test_a_foreign_azure_registry_without_anonymous_pulls(shared: RunningSandbox) -> None:
    """The refusal of the exchange is what is told, with both ways out."""
    shared.azure.faults.add(kind="status", status=401, method="GET", host=FOREIGN, path="/oauth2/token", times=None)
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        with pytest.raises(errors.AuthenticationFailed, match="the token's tenant is not the registry's") as refused:
            await client.resolve(SHARED)
    assert "catalogue.credentials" in refused.value.remedy
    assert "AcrPull" in refused.value.remedy


async def test_a_closed_azure_registry_is_not_asked_anonymously(shared: RunningSandbox) -> None:
    """Its firewall would refuse that as well, and is what has to be named."""
    shared.azure.faults.add(
        kind="status", status=403, host=FOREIGN, path="/oauth2/exchange", message="is not allowed access", times=None
    )
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        with pytest.raises(errors.NetworkDenied):
            await client.resolve(SHARED)
    tokens = [
        e for e in shared.azure.requests.since() if (e.host, e.method, e.path) == (FOREIGN, "GET", "/oauth2/token")
    ]
    assert tokens == []


async def test_an_identity_without_a_token_is_an_error_of_its_own(shared: RunningSandbox) -> None:
    """Where Entra ID gives no token, nothing is asked anonymously: the run could not go on anyway."""

    async def entra() -> str:
        raise errors.AuthenticationFailed("get a token", "scope", "No.", "Sign in.")

    async with httpx.AsyncClient() as http:
        with pytest.raises(errors.AuthenticationFailed, match=r"Sign in\."):
            await OciClient(http, Authenticator(http, entra=entra)).resolve(SHARED)

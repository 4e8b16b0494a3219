"""Azure's registry API beyond OCI distribution, and the login for other programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import Response

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.errors import AuthenticationFailed, NetworkDenied, NotFound, UnreadableAnswer
from pratique.images import ImageReference
from pratique.oci.acr import arrival
from pratique.oci.auth import Authenticator, Login
from sandbox.scenario import Client, Scenario
from sandbox.services.acr import attributes
from tests.sandbox.defending import NAME, REPOSITORY, bring
from tests.sandbox.registries import add_registry, content

if TYPE_CHECKING:
    from tests.conftest import StartSandbox

HOST = f"{NAME}.azurecr.io"
PLACE = ImageReference(HOST, REPOSITORY)


async def arrival_of(digest: str) -> datetime:
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        return await arrival(oci_client(session, http, {}), PLACE.at(digest))


async def test_when_an_image_arrived(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrival is when the digest came into the repository: repeating an import keeps it, and an import after a
    deletion renews it."""
    sandbox = start_sandbox()
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    before = datetime.now(UTC)
    digest = await bring(sandbox)
    first = await arrival_of(digest)
    assert before <= first <= datetime.now(UTC)
    await bring(sandbox)
    assert await arrival_of(digest) == first
    with pytest.raises(NotFound):
        await arrival_of("sha256:" + "0" * 64)

    async def delete() -> None:
        content(sandbox, NAME).delete_repository(REPOSITORY)

    sandbox.run(delete())
    with pytest.raises(NotFound):
        await arrival_of(digest)
    sandbox.control("POST", "/clock", json={"jump": 600})
    await bring(sandbox)
    again = await arrival_of(digest)
    assert again - first >= timedelta(minutes=10)
    for body in (b'{"manifest": {"createdTime": "soon"}}', b'{"manifest": 5}', b"{}", b"[]", b'{"manifest'):
        monkeypatch.setattr(attributes, "answer", lambda *_, body=body: Response(body, media_type="application/json"))
        with pytest.raises(UnreadableAnswer):
            await arrival_of(digest)


async def test_arrival_in_an_unreachable_registry(start_sandbox: StartSandbox) -> None:
    """A worker without a private endpoint is told why it does not learn the arrival."""
    sandbox = start_sandbox(Scenario(client=Client(private_links=frozenset())))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    digest = await bring(sandbox)
    with pytest.raises(NetworkDenied):
        await arrival_of(digest)


async def test_a_login_for_other_programs(start_sandbox: StartSandbox) -> None:
    """It is a refresh token, which docker and scanners exchange for access tokens; it is obtained only once."""
    sandbox = start_sandbox()
    add_registry(sandbox, NAME)
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        client = oci_client(session, http, {"docker.io": Login("robot", "open-sesame")})
        login = await client.docker_login(HOST)
        assert await client.docker_login(HOST) == login
        assert login.password not in repr(login)
        query = {"service": HOST, "scope": f"repository:{REPOSITORY}:pull"}
        answer = await http.get(f"https://{HOST}/oauth2/token", params=query, auth=(login.username, login.password))
        assert answer.json()["access_token"]
        assert await client.docker_login("docker.io") == Login("robot", "open-sesame")
        with pytest.raises(AuthenticationFailed):
            await client.docker_login("ghcr.io")
        with pytest.raises(AuthenticationFailed):
            await Authenticator(http).docker_login(HOST)
    exchanges = [entry for entry in sandbox.azure.requests.since(0) if entry.path == "/oauth2/exchange"]
    assert len(exchanges) == 1

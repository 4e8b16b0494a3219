"""What Azure's registries tell beyond the distribution API, and what other programs sign in with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import Response

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.errors import AuthenticationFailed, UnreadableAnswer
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


async def arrived(digest: str) -> datetime | None:
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        return await arrival(oci_client(session, http, {}), PLACE.at(digest))


async def test_when_an_image_arrived(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its digest came into the repository; an import that finds it there changes nothing, one after a deletion
    does."""
    sandbox = start_sandbox()
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    before = datetime.now(UTC)
    digest = await bring(sandbox)
    first = await arrived(digest)
    assert first is not None
    assert before <= first <= datetime.now(UTC)
    await bring(sandbox)
    assert await arrived(digest) == first
    assert await arrived("sha256:" + "0" * 64) is None

    async def delete() -> None:
        content(sandbox, NAME).delete_repository(REPOSITORY)

    sandbox.run(delete())
    assert await arrived(digest) is None
    sandbox.control("POST", "/clock", json={"jump": 600})
    await bring(sandbox)
    again = await arrived(digest)
    assert again is not None
    assert again - first >= timedelta(minutes=10)
    for body in (b'{"manifest": {"createdTime": "soon"}}', b'{"manifest": 5}', b"{}", b"[]", b'{"manifest'):
        monkeypatch.setattr(attributes, "answer", lambda *_, body=body: Response(body, media_type="application/json"))
        with pytest.raises(UnreadableAnswer):
            await arrived(digest)


async def test_when_nobody_can_tell(start_sandbox: StartSandbox) -> None:
    """A worker without a private endpoint does not know."""
    sandbox = start_sandbox(Scenario(client=Client(private_links=frozenset())))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    assert await arrived(await bring(sandbox)) is None


async def test_a_login_for_other_programs(start_sandbox: StartSandbox) -> None:
    """A refresh token, with which docker and its kin get their tokens; it is exchanged once."""
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

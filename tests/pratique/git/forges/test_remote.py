"""The forge of a remote, found by its address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from pratique.errors import ConfigurationError
from pratique.git.forges.remote import forge_of

GITHUB = "https://api.github.com/repos/contoso/cluster/pulls"
AZURE = "https://dev.azure.com/contoso/my%20platform/_apis/git/repositories/cluster/pullrequests"


@pytest.mark.parametrize(
    ("remote", "api"),
    [
        ("https://github.com/contoso/cluster.git", GITHUB),
        ("https://github.com/contoso/cluster/", GITHUB),
        ("git@github.com:contoso/cluster.git", GITHUB),
        ("ssh://git@github.com/contoso/cluster.git", GITHUB),
        ("ssh://git@ssh.github.com:443/contoso/cluster.git", GITHUB),
        ("https://git.contoso.com/team/cluster.git", "https://git.contoso.com/api/v3/repos/team/cluster/pulls"),
        ("https://git.contoso.com:8443/team/cluster", "https://git.contoso.com:8443/api/v3/repos/team/cluster/pulls"),
        ("https://contoso.ghe.com/team/cluster.git", "https://api.contoso.ghe.com/repos/team/cluster/pulls"),
        ("https://dev.azure.com/contoso/my%20platform/_git/cluster", AZURE),
        ("git@ssh.dev.azure.com:v3/contoso/my%20platform/cluster", AZURE),
        ("contoso@vs-ssh.visualstudio.com:v3/contoso/my%20platform/cluster", AZURE),
        (
            "https://dev.azure.com/contoso/_git/cluster",
            "https://dev.azure.com/contoso/cluster/_apis/git/repositories/cluster/pullrequests",
        ),
        (
            "https://contoso.visualstudio.com/platform/_git/cluster",
            "https://contoso.visualstudio.com/platform/_apis/git/repositories/cluster/pullrequests",
        ),
        (
            "https://tfs.contoso.com/tfs/Main/platform/_git/cluster",
            "https://tfs.contoso.com/tfs/Main/platform/_apis/git/repositories/cluster/pullrequests",
        ),
    ],
)
async def test_api_of_a_remote(remote: str, api: str) -> None:
    """The API's address is found for both protocols, in the cloud and on self-hosted servers."""
    urls: list[str] = []

    class Recorder(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            urls.append(str(request.url).partition("?")[0])
            return httpx.Response(200, json=[] if "pulls" in request.url.path else {"value": []})

    async with httpx.AsyncClient(transport=Recorder()) as http:
        assert await forge_of(remote, "token", http).find("a", "main") is None
    assert urls == [api]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.mark.parametrize(
    "remote", ["/srv/git/cluster.git", "file:///srv/cluster.git", "https://github.com/contoso", "https://x/a/b/c"]
)
async def test_remotes_without_pull_requests(remote: str, http: httpx.AsyncClient) -> None:
    """A path, or an address that names no repository, is refused; the error names the alternatives."""
    with pytest.raises(ConfigurationError, match=r"Set manifests\.deliver to push or branch"):
        forge_of(remote, "token", http)

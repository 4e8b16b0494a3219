"""Waits until every image in quarantine has its findings, as the bare script and the walkthrough's commands do.

    python -m benchmarks.comparison.scans crcluster.azurecr.io 1.5 < LIST

It looks where the gate looks: one Resource Graph query for all, and each image's findings artifact in the registry.
It checks no signature and judges nothing. LIST has a repository and a tag on each line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

ARM = "https://management.azure.com"
_IN_TOTO = "application/vnd.in-toto%2Bjson"  # as a query has it
_ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
_QUERY = "securityresources | where type == 'microsoft.security/assessments' | project id, properties | limit 1000"
_AT_ONCE = 16

Token = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Registry:
    """Reads a registry.

    :ivar entra: returns an Entra ID token for a scope
    """

    http: httpx.AsyncClient
    login_server: str
    entra: Token
    _refresh: list[str]

    @classmethod
    async def open(cls, http: httpx.AsyncClient, login_server: str, entra: Token) -> Registry:
        body = {
            "grant_type": "access_token",
            "service": login_server,
            "access_token": await entra("https://containerregistry.azure.net/.default"),
        }
        answer = await http.post(f"https://{login_server}/oauth2/exchange", data=body)
        return cls(http, login_server, entra, [answer.raise_for_status().json()["refresh_token"]])

    async def token(self, repository: str) -> str:
        body = {
            "grant_type": "refresh_token",
            "service": self.login_server,
            "scope": f"repository:{repository}:pull",
            "refresh_token": self._refresh[0],
        }
        answer = await self.http.post(f"https://{self.login_server}/oauth2/token", data=body)
        return str(answer.raise_for_status().json()["access_token"])

    async def read(self, repository: str, path: str, token: str) -> Any:
        return (await self.fetch(repository, path, token)).raise_for_status().json()

    async def fetch(self, repository: str, path: str, token: str, method: str = "GET") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Accept": _ACCEPT}
        url = f"https://{self.login_server}/v2/{repository}/{path}"
        return await self.http.request(method, url, headers=headers, follow_redirects=True)

    async def look(self, repository: str, versions: Sequence[str]) -> None:
        """Ask whether the repository has these tags or digests."""
        token = await self.token(repository)
        for version in versions:
            await self.fetch(repository, f"manifests/{version}", token, "HEAD")


async def wait_for_scans(registry: Registry, images: Sequence[tuple[str, str]], interval: float) -> None:
    """Return when each image's findings artifact is there.

    :param images: repositories and tags
    :param interval: seconds between two looks
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def digest(repository: str, tag: str) -> tuple[str, str, str]:
        async with limit:
            token = await registry.token(repository)
            index = await registry.read(repository, f"manifests/{tag}", token)
            return repository, index["manifests"][0]["digest"], token

    async def proven(image: tuple[str, str, str]) -> bool:
        repository, subject, token = image
        async with limit:
            listed = await registry.read(repository, f"referrers/{subject}?artifactType={_IN_TOTO}", token)
            for artifact in listed["manifests"]:
                manifest = await registry.read(repository, f"manifests/{artifact['digest']}", token)
                await registry.read(repository, f"blobs/{manifest['layers'][0]['digest']}", token)
                signatures = await registry.read(repository, f"referrers/{artifact['digest']}", token)
                for signature in signatures["manifests"]:
                    envelope = await registry.read(repository, f"manifests/{signature['digest']}", token)
                    await registry.fetch(repository, f"blobs/{envelope['layers'][0]['digest']}", token)
            return bool(listed["manifests"])

    waiting = list(await asyncio.gather(*(digest(*image) for image in images)))
    while waiting:
        await _query(registry)
        answers = await asyncio.gather(*map(proven, waiting))
        waiting = [image for image, there in zip(waiting, answers, strict=True) if not there]
        if waiting:
            await asyncio.sleep(interval)


async def _query(registry: Registry) -> None:
    headers = {"Authorization": f"Bearer {await registry.entra(f'{ARM}/.default')}"}
    url = f"{ARM}/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
    (await registry.http.post(url, headers=headers, json={"query": _QUERY})).raise_for_status()


async def _entra(http: httpx.AsyncClient, scope: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["AZURE_CLIENT_ID"],
        "client_secret": os.environ["AZURE_CLIENT_SECRET"],
        "scope": scope,
    }
    url = f"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    return str((await http.post(url, data=form)).raise_for_status().json()["access_token"])


async def _main(login_server: str, interval: float, images: Sequence[tuple[str, str]]) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        registry = await Registry.open(http, login_server, lambda scope: _entra(http, scope))
        await wait_for_scans(registry, images, interval)


if __name__ == "__main__":
    listed = [(line.split()[0], line.split()[1]) for line in sys.stdin if line.strip()]
    asyncio.run(_main(sys.argv[1], float(sys.argv[2]), listed))

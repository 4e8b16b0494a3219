"""Pull requests at GitHub.

Facts: GitHub REST API, version 2022-11-28, "Pull requests": list (``head`` takes ``owner:branch``), create, update.
"""

from __future__ import annotations

from typing import Any

import httpx

from pratique.git.forges.api import Api, unreadable
from pratique.git.forges.pull_request import Proposal, PullRequest


class GitHub:
    """The pull requests of one repository at GitHub.

    :param base: of the API: ``https://api.github.com``, or ``https://HOST/api/v3`` of an Enterprise Server
    """

    def __init__(self, base: str, owner: str, repository: str, token: str, http: httpx.AsyncClient) -> None:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._owner = owner
        self._api = Api(f"{base}/repos/{owner}/{repository}/pulls", f"{owner}/{repository}", http, headers)

    async def find(self, source: str, target: str) -> PullRequest | None:
        query = {"state": "open", "head": f"{self._owner}:{source}", "base": target}
        listed = await self._api.request("look for the pull request", "GET", "", query=query)
        if not isinstance(listed, list):
            raise unreadable("look for the pull request", self._api.subject)
        return self._read(listed[0]) if listed else None

    async def open(self, proposal: Proposal) -> PullRequest:
        body = {"head": proposal.source, "base": proposal.target, "title": proposal.title, "body": proposal.body}
        return self._read(await self._api.request("open the pull request", "POST", "", body=body))

    async def update(self, request: PullRequest, proposal: Proposal) -> PullRequest:
        body = {"title": proposal.title, "body": proposal.body}
        return self._read(await self._api.request("update the pull request", "PATCH", f"/{request.number}", body=body))

    def _read(self, document: Any) -> PullRequest:
        try:
            return PullRequest(
                int(document["number"]), str(document["html_url"]), str(document["title"]), str(document["body"] or "")
            )
        except (KeyError, TypeError, ValueError):
            raise unreadable("read the pull request", self._api.subject) from None

"""Pull requests at Azure DevOps.

Facts: Azure DevOps Services REST API 7.1, "Pull Requests": get pull requests (``searchCriteria``), create, update; a
description has at most 4,000 characters.
"""

from __future__ import annotations

import base64
from typing import Any

import httpx

from pratique.git.forges.api import Api, unreadable
from pratique.git.forges.pull_request import Proposal, PullRequest

_VERSION = {"api-version": "7.1"}
_DESCRIPTION_LIMIT = 4000  # characters
_HEADS = "refs/heads/"


class AzureDevOps:
    """The pull requests of one repository at Azure DevOps.

    :param project: address of its project, for example ``https://dev.azure.com/contoso/platform``
    :param token: a personal access token, or any other token that the service accepts as a password
    """

    def __init__(self, project: str, repository: str, token: str, http: httpx.AsyncClient) -> None:
        headers = {
            "Accept": "application/json",
            "Authorization": f"Basic {base64.b64encode(f':{token}'.encode()).decode()}",
            "X-TFS-FedAuthRedirect": "Suppress",  # 401 instead of a redirect to the sign-in page
        }
        self._page = f"{project}/_git/{repository}/pullrequest"
        base = f"{project}/_apis/git/repositories/{repository}/pullrequests"
        self._api = Api(base, f"{project}/_git/{repository}", http, headers)

    async def find(self, source: str, target: str) -> PullRequest | None:
        query = {
            "searchCriteria.status": "active",
            "searchCriteria.sourceRefName": f"{_HEADS}{source}",
            "searchCriteria.targetRefName": f"{_HEADS}{target}",
        }
        document = await self._api.request("look for the pull request", "GET", "", query=query | _VERSION)
        listed = document.get("value") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise unreadable("look for the pull request", self._api.subject)
        return self._read(listed[0]) if listed else None

    async def open(self, proposal: Proposal) -> PullRequest:
        branches = {"sourceRefName": f"{_HEADS}{proposal.source}", "targetRefName": f"{_HEADS}{proposal.target}"}
        body = branches | _texts(proposal)
        return self._read(await self._api.request("open the pull request", "POST", "", query=_VERSION, body=body))

    async def update(self, request: PullRequest, proposal: Proposal) -> PullRequest:
        path, body = f"/{request.number}", _texts(proposal)
        return self._read(await self._api.request("update the pull request", "PATCH", path, query=_VERSION, body=body))

    def _read(self, document: Any) -> PullRequest:
        try:
            number, title = int(document["pullRequestId"]), str(document["title"])
            return PullRequest(number, f"{self._page}/{number}", title, str(document.get("description") or ""))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise unreadable("read the pull request", self._api.subject) from None


def _texts(proposal: Proposal) -> dict[str, str]:
    body = proposal.body
    description = body if len(body) <= _DESCRIPTION_LIMIT else f"{body[: _DESCRIPTION_LIMIT - 1]}…"
    return {"title": proposal.title, "description": description}

"""Pull requests and rules of branches at Azure DevOps.

Facts: Azure DevOps Services REST API 7.1, "Pull Requests": get pull requests (``searchCriteria``), create, update; a
description has at most 4,000 characters. "Repositories" and "Policy Configurations": a blocking policy of a branch
rejects every push to it; policies of a repository only check the pushed files. No policy demands signatures.
"""

from __future__ import annotations

import base64
from typing import Any

import httpx

from pratique.git.forges.api import Api, unreadable
from pratique.git.forges.branch_rules import BranchRules
from pratique.git.forges.pull_request import Proposal, PullRequest

_VERSION = {"api-version": "7.1"}
_DESCRIPTION_LIMIT = 4000  # characters
_HEADS = "refs/heads/"
_READ_RULES = "read the rules of the branch"


class AzureDevOps:
    """The pull requests of one repository at Azure DevOps, and the rules of its branches.

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
        self._repository = f"/repositories/{repository}"
        self._pulls = f"{self._repository}/pullrequests"
        self._api = Api(f"{project}/_apis/git", f"{project}/_git/{repository}", http, headers)

    async def find(self, source: str, target: str) -> PullRequest | None:
        query = {
            "searchCriteria.status": "active",
            "searchCriteria.sourceRefName": f"{_HEADS}{source}",
            "searchCriteria.targetRefName": f"{_HEADS}{target}",
        }
        document = await self._api.request("look for the pull request", "GET", self._pulls, query=query | _VERSION)
        listed = self._listed(document, "look for the pull request")
        return self._read(listed[0]) if listed else None

    async def open(self, proposal: Proposal) -> PullRequest:
        branches = {"sourceRefName": f"{_HEADS}{proposal.source}", "targetRefName": f"{_HEADS}{proposal.target}"}
        body = branches | _texts(proposal)
        answer = await self._api.request("open the pull request", "POST", self._pulls, query=_VERSION, body=body)
        return self._read(answer)

    async def update(self, request: PullRequest, proposal: Proposal) -> PullRequest:
        path, body = f"{self._pulls}/{request.number}", _texts(proposal)
        return self._read(await self._api.request("update the pull request", "PATCH", path, query=_VERSION, body=body))

    async def rules(self, branch: str) -> BranchRules:
        repository = await self._api.request(_READ_RULES, "GET", self._repository, query=_VERSION)
        identifier = repository.get("id") if isinstance(repository, dict) else None
        if not isinstance(identifier, str):
            raise unreadable(_READ_RULES, self._api.subject)
        query = {"repositoryId": identifier, "refName": f"{_HEADS}{branch}"} | _VERSION
        document = await self._api.request(_READ_RULES, "GET", "/policy/configurations", query=query)
        return BranchRules(pull_request=any(map(_needs_pull_request, self._listed(document, _READ_RULES))))

    def _listed(self, document: Any, attempted: str) -> list[Any]:
        listed = document.get("value") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise unreadable(attempted, self._api.subject)
        return listed

    def _read(self, document: Any) -> PullRequest:
        try:
            number, title = int(document["pullRequestId"]), str(document["title"])
            return PullRequest(number, f"{self._page}/{number}", title, str(document.get("description") or ""))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise unreadable("read the pull request", self._api.subject) from None


def _needs_pull_request(policy: Any) -> bool:
    """Whether it is a policy of branches that is in force; the scope of a repository's policy names no branch."""
    if not isinstance(policy, dict) or policy.get("isDeleted") or not policy.get("isEnabled"):
        return False
    settings = policy.get("settings")
    scopes = settings.get("scope") if isinstance(settings, dict) else None
    of_branches = any(
        isinstance(scope, dict) and (scope.get("refName") or scope.get("matchKind") == "DefaultBranch")
        for scope in (scopes if isinstance(scopes, list) else [])
    )
    return of_branches and policy.get("isBlocking") is True


def _texts(proposal: Proposal) -> dict[str, str]:
    body = proposal.body
    description = body if len(body) <= _DESCRIPTION_LIMIT else f"{body[: _DESCRIPTION_LIMIT - 1]}…"
    return {"title": proposal.title, "description": description}

"""Pull requests and rules of branches at GitHub.

Facts: GitHub REST API, version 2022-11-28, "Pull requests": list (``head`` takes ``owner:branch``), create, update;
"Rules": get rules for a branch, get a repository ruleset (``current_user_can_bypass``); "Branches": get a branch;
"Protected branches": get branch protection, which needs the permission *Administration: read*.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx

from pratique.errors import NotFound, PermissionDenied
from pratique.git.forges.api import Api, unreadable
from pratique.git.forges.branch_rules import BranchRules
from pratique.git.forges.pull_request import Proposal, PullRequest

_READ_RULES = "read the rules of the branch"
# Rules that no commit meets that is pushed without a pull request.
_PULL_REQUEST = {"merge_queue", "pull_request", "required_deployments", "required_status_checks", "update"}
_SIGNATURES = "required_signatures"
_REVIEWS, _CHECKS, _LOCK = "required_pull_request_reviews", "required_status_checks", "lock_branch"


class GitHub:
    """The pull requests of one repository at GitHub, and the rules of its branches.

    :param base: of the API: ``https://api.github.com``, or ``https://HOST/api/v3`` of an Enterprise Server
    """

    def __init__(self, base: str, owner: str, repository: str, token: str, http: httpx.AsyncClient) -> None:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._owner = owner
        self._api = Api(f"{base}/repos/{owner}/{repository}", f"{owner}/{repository}", http, headers)

    async def find(self, source: str, target: str) -> PullRequest | None:
        query = {"state": "open", "head": f"{self._owner}:{source}", "base": target}
        listed = await self._api.request("look for the pull request", "GET", "/pulls", query=query)
        if not isinstance(listed, list):
            raise unreadable("look for the pull request", self._api.subject)
        return self._read(listed[0]) if listed else None

    async def open(self, proposal: Proposal) -> PullRequest:
        body = {"head": proposal.source, "base": proposal.target, "title": proposal.title, "body": proposal.body}
        return self._read(await self._api.request("open the pull request", "POST", "/pulls", body=body))

    async def update(self, request: PullRequest, proposal: Proposal) -> PullRequest:
        body = {"title": proposal.title, "body": proposal.body}
        path = f"/pulls/{request.number}"
        return self._read(await self._api.request("update the pull request", "PATCH", path, body=body))

    async def rules(self, branch: str) -> BranchRules:
        name = quote(branch, safe="")
        listed = await self._api.request(_READ_RULES, "GET", f"/rules/branches/{name}", query={"per_page": "100"})
        if not isinstance(listed, list) or not all(isinstance(rule, dict) for rule in listed):
            raise unreadable(_READ_RULES, self._api.subject)
        types = await self._binding(listed)
        pull_request, signatures = bool(types & _PULL_REQUEST), _SIGNATURES in types
        protection = await self._protection(name)
        if protection is None:
            return BranchRules(pull_request or None, signatures or None)
        demands = any(protection.get(key) for key in (_REVIEWS, _CHECKS)) or _is_enabled(protection, _LOCK)
        return BranchRules(pull_request or demands, signatures or _is_enabled(protection, _SIGNATURES))

    async def _binding(self, rules: Iterable[dict[str, Any]]) -> set[str]:
        """The types of those rules that this token may not bypass."""
        types: dict[str, set[str]] = {}
        for rule in rules:
            types.setdefault(str(rule.get("ruleset_id")), set()).add(str(rule.get("type")))
        binding: set[str] = set()
        for ruleset, kinds in types.items():
            try:
                found = await self._api.request(_READ_RULES, "GET", f"/rulesets/{ruleset}")
            except (NotFound, PermissionDenied):  # the rules are shown to more tokens than who may bypass them
                found = {}
            if not isinstance(found, dict) or found.get("current_user_can_bypass") not in ("always", "exempt"):
                binding |= kinds
        return binding

    async def _protection(self, branch: str) -> dict[str, Any] | None:
        """How a branch is protected; ``None`` when it is, and only administrators may read how."""
        try:
            found = await self._api.request(_READ_RULES, "GET", f"/branches/{branch}")
        except NotFound:
            return {}
        if not isinstance(found, dict):
            raise unreadable(_READ_RULES, self._api.subject)
        if not found.get("protected"):
            return {}
        try:
            protection = await self._api.request(_READ_RULES, "GET", f"/branches/{branch}/protection")
        except (NotFound, PermissionDenied):
            return None
        return protection if isinstance(protection, dict) else None

    def _read(self, document: Any) -> PullRequest:
        try:
            return PullRequest(
                int(document["number"]), str(document["html_url"]), str(document["title"]), str(document["body"] or "")
            )
        except (KeyError, TypeError, ValueError):
            raise unreadable("read the pull request", self._api.subject) from None


def _is_enabled(protection: dict[str, Any], key: str) -> bool:
    setting = protection.get(key)
    return isinstance(setting, dict) and setting.get("enabled") is True

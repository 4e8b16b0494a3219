"""Checks of the GitOps repository: whether a run can read it, push to it, and meet the rules of its branches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import httpx

from pratique.config import Bootstrap
from pratique.errors import GitRejected, NotFound, PermissionDenied
from pratique.git.checkout import MAY_PUSH, SIGN, checkout
from pratique.git.forges.branch_rules import BranchRules
from pratique.git.forges.remote import forge_of, has_known_api
from pratique.release import delivery
from pratique.secret import SecretKind, SecretSource, text_of

#: Says what it found, or raises an error of ours.
Check: TypeAlias = Callable[[], Awaitable[str]]

_AT_THE_PUSH = "only a push shows them"


def repository_checks(config: Bootstrap) -> list[tuple[str, Check]]:
    """The checks and their names, in order; after one that fails, the rest would fail for the same reason."""
    checks: list[tuple[str, Check]] = [
        ("GitOps repository", lambda: _readable(config)),
        ("GitOps push", lambda: _writable(config)),
        ("GitOps branch rules", lambda: _rules(config)),
    ]
    return checks[:1] if _unreadable_secret(config) else checks


def _unreadable_secret(config: Bootstrap) -> str | None:
    target = config.manifests
    secrets = [target.token, target.ssh.key if target.ssh else None, target.signing_key]
    return next((name for name in secrets if name and SecretSource.parse(name).kind is SecretKind.PREFECT), None)


async def _readable(config: Bootstrap) -> str:
    if block := _unreadable_secret(config):
        return f"{block}: only flow runs can read it, so the repository is not checked here"
    async with checkout(await delivery.repository(config.manifests, _bytes)) as tree:
        return f"{config.manifests.branch} at {(await tree.head())[:12]}"


async def _writable(config: Bootstrap) -> str:
    async with checkout(await delivery.repository(config.manifests, _bytes)) as tree:
        await tree.require_write_access()
    return "the server lets this identity push; rules of a branch and hooks decide at the push itself"


async def _rules(config: Bootstrap) -> str:
    """The rules of the branches that a run pushes to, as far as the forge shows them.

    :raises GitRejected: when a run would not meet them
    """
    target = config.manifests
    if target.token is None or not (target.deliver == "pull-request" or has_known_api(target.remote)):
        return f"not known without a token for GitHub or Azure DevOps: {_AT_THE_PUSH}"
    token = text_of(await _bytes(target.token), target.token).strip()
    own = delivery.working_branch(config.cluster.resource_group)
    pushed = (target.branch if target.deliver == "push" else own, target.records_branch)
    found = []
    async with httpx.AsyncClient(timeout=30) as http:
        forge = forge_of(target.remote, token, http)
        for branch in dict.fromkeys((target.branch, *pushed)):
            try:
                rules = await forge.rules(branch)
            except (NotFound, PermissionDenied):
                rules = BranchRules(None, None)
            _require_met(config, branch, rules, is_pushed=branch in pushed)
            found.append(f"{branch}: {_described(rules)}")
    return "; ".join(found)


def _require_met(config: Bootstrap, branch: str, rules: BranchRules, *, is_pushed: bool) -> None:
    target = config.manifests
    subject, attempted = f"{target.remote}, branch {branch}", "push to the branch"
    if rules.pull_request and is_pushed:
        remedy = MAY_PUSH if branch == target.branch else "Let this identity push to the branch, or bypass its rules."
        raise GitRejected(attempted, subject, "It takes changes through pull requests only.", remedy)
    if rules.signatures and target.signing_key is None:
        raise GitRejected(attempted, subject, "It takes commits with verified signatures only.", SIGN)


def _described(rules: BranchRules) -> str:
    demands = [
        f"{name} {'are required' if demanded else 'not shown to this token'}"
        for name, demanded in (("pull requests", rules.pull_request), ("signatures", rules.signatures))
        if demanded is not False
    ]
    return ", ".join(demands) or "takes pushes"


async def _bytes(name: str) -> bytes:
    return SecretSource.parse(name).read()

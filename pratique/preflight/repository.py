"""Checks of the repositories for manifests and records: whether a run can read them and push to them, and meets the
rules of their branches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import httpx

from pratique.config import Bootstrap
from pratique.errors import GitRejected, NotFound, PermissionDenied
from pratique.git.checkout import MAY_PUSH, Repository, checkout, signing_step
from pratique.git.forges.branch_rules import BranchRules
from pratique.git.forges.remote import forge_of, has_known_api
from pratique.manifests.images import require_decided
from pratique.release import delivery
from pratique.release.manifest_edits import catalogue_versions
from pratique.secret import SecretKind, SecretSource, text_of

#: Says what it found, or raises an error of ours.
Check: TypeAlias = Callable[[], Awaitable[str]]

_AT_THE_PUSH = "only a push shows them"


@dataclass(frozen=True, kw_only=True)
class _Pushed:
    """A repository to which runs push: that of the manifests, or that of the records where it is another one.

    :ivar name: what checks call it
    :ivar login: as configured
    :ivar open: the repository with its credentials
    :ivar pushed: branches to which runs push
    :ivar settings: the section of the configuration that names its login and the key for signatures
    """

    name: str
    remote: str
    login: delivery.GitLogin
    open: Callable[[], Awaitable[Repository]]
    branch: str
    pushed: tuple[str, ...]
    needs_forge: bool = False
    settings: str

    @property
    def block(self) -> str | None:
        """A secret that only flow runs can read."""
        secrets = (self.login.token, self.login.ssh.key if self.login.ssh else None, self.login.signing_key)
        return next((name for name in secrets if name and SecretSource.parse(name).kind is SecretKind.PREFECT), None)


def repository_checks(config: Bootstrap) -> list[tuple[str, Check]]:
    """The checks and their names, in order, for each repository; after one that fails, the rest of that repository's
    would fail for the same reason."""
    checks: list[tuple[str, Check]] = []
    for repository in _repositories(config):
        found: list[tuple[str, Check]] = [
            (f"{repository.name} repository", partial(_readable, repository)),
            (f"{repository.name} push", partial(_writable, repository)),
            (f"{repository.name} branch rules", partial(_rules, repository)),
        ]
        checks += found[:1] if repository.block else found
        images = config.catalogue.images
        chosen = config.catalogue.several or any(image.manifests for image in images)
        if chosen and repository.settings == "manifests" and not repository.block:
            checks.append((f"{repository.name} versions", partial(_versions, config, repository)))
    return checks


def _repositories(config: Bootstrap) -> Iterator[_Pushed]:
    target, records = config.manifests, config.registries.records
    own = delivery.working_branch(config.cluster.resource_group)
    delivered = target.branch if target.deliver == "push" else own
    apart = records.remote is not None
    yield _Pushed(
        name="GitOps",
        remote=target.remote,
        login=target,
        open=partial(delivery.manifests_repository, target, _bytes),
        branch=target.branch,
        pushed=(delivered,) if apart else (delivered, records.branch),
        needs_forge=target.deliver == "pull-request",
        settings="manifests",
    )
    if records.remote is not None:
        yield _Pushed(
            name="records",
            remote=records.remote,
            login=records,
            open=partial(delivery.records_repository, config, _bytes),
            branch=records.branch,
            pushed=(records.branch,),
            settings="registries.records",
        )


async def _readable(target: _Pushed) -> str:
    if block := target.block:
        return f"{block}: only flow runs can read it, so the repository is not checked here"
    async with checkout(await target.open()) as tree:
        head = await tree.head()
        return f"{target.branch} at {head[:12]}" if head else f"{target.branch}: not there yet; the first run makes it"


async def _versions(config: Bootstrap, target: _Pushed) -> str:
    """Whether each entry of the manifests gets one version of its image.

    :raises ConfigurationError: when one could get several
    """
    versions = catalogue_versions(config.catalogue)
    async with checkout(await target.open()) as tree:
        count = await asyncio.to_thread(require_decided, tree.root, config.manifests.folder, versions)
    return f"{count} entries for images of the catalogue: none could get several versions"


async def _writable(target: _Pushed) -> str:
    async with checkout(await target.open()) as tree:
        await tree.require_write_access()
    return "the server lets this identity push; rules of a branch and hooks decide at the push itself"


async def _rules(target: _Pushed) -> str:
    """The rules of the branches that a run pushes to, as far as the forge shows them.

    :raises GitRejected: when a run would not meet them
    """
    if target.login.token is None or not (target.needs_forge or has_known_api(target.remote)):
        return f"not known without a token for GitHub or Azure DevOps: {_AT_THE_PUSH}"
    token = text_of(await _bytes(target.login.token), target.login.token).strip()
    found = []
    async with httpx.AsyncClient(timeout=30) as http:
        forge = forge_of(target.remote, token, http)
        for branch in dict.fromkeys((target.branch, *target.pushed)):
            try:
                rules = await forge.rules(branch)
            except (NotFound, PermissionDenied):
                rules = BranchRules(None, None)
            _require_met(target, branch, rules)
            found.append(f"{branch}: {_described(rules)}")
    return "; ".join(found)


def _require_met(target: _Pushed, branch: str, rules: BranchRules) -> None:
    subject, attempted = f"{target.remote}, branch {branch}", "push to the branch"
    if rules.pull_request and branch in target.pushed:
        manifests = target.settings == "manifests" and branch == target.branch
        remedy = MAY_PUSH if manifests else "Let this identity push to the branch, or bypass its rules."
        raise GitRejected(attempted, subject, "It takes changes through pull requests only.", remedy)
    if rules.signatures and target.login.signing_key is None:
        observed, remedy = "It takes commits with verified signatures only.", signing_step(target.settings)
        raise GitRejected(attempted, subject, observed, remedy)


def _described(rules: BranchRules) -> str:
    demands = [
        f"{name} {'are required' if demanded else 'not shown to this token'}"
        for name, demanded in (("pull requests", rules.pull_request), ("signatures", rules.signatures))
        if demanded is not False
    ]
    return ", ".join(demands) or "takes pushes"


async def _bytes(name: str) -> bytes:
    return SecretSource.parse(name).read()

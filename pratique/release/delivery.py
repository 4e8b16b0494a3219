"""Delivers edits of manifests as the configuration says: by push, on a working branch or as a pull request.

::

    target = await manifests_repository(config.manifests, read_secret)
    published = await deliver(config.manifests, target, edits, cluster="rg-bu0001a0008", run=run_id, …)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

import httpx

from pratique.config import Bootstrap, Manifests
from pratique.config.manifests import SshAccess
from pratique.errors import ConfigurationError
from pratique.git.checkout import CommitAuthor, Repository
from pratique.git.credentials import Credentials, SshKey, is_ssh
from pratique.git.forges.pull_request import Proposal, propose
from pratique.git.forges.remote import forge_of
from pratique.git.pending import RUN
from pratique.git.publish import Edit, Publication, publish
from pratique.markdown import table
from pratique.secret import text_of

POLICY = "Pratique-Policy"
CONFIGURATION = "Pratique-Configuration"

_ROW_LIMIT = 30  # changes that a pull request's description shows
_INVALID = re.compile(r"[^A-Za-z0-9_.-]|^[.-]|\.{2,}|\.lock$|\.$")


class GitLogin(Protocol):
    """What a configuration says about the login to a repository, and about signatures."""

    @property
    def token(self) -> str | None: ...
    @property
    def ssh(self) -> SshAccess | None: ...
    @property
    def signing_key(self) -> str | None: ...


async def manifests_repository(target: Manifests, read: Callable[[str], Awaitable[bytes]]) -> Repository:
    """The manifests' repository, with its credentials.

    :param read: reads a secret by its name
    :raises PratiqueError: when a secret cannot be read
    """
    login = await credentials(target.remote, target, read)
    return Repository(remote=target.remote, branch=target.branch, credentials=login, folder=target.folder)


async def records_repository(config: Bootstrap, read: Callable[[str], Awaitable[bytes]]) -> Repository:
    """The repository and branch of the records, with credentials: those of the manifests, unless records have a remote.

    :param read: reads a secret by its name
    :raises PratiqueError: when a secret cannot be read
    """
    records = config.registries.records
    remote, login = (records.remote, records) if records.remote else (config.manifests.remote, config.manifests)
    found = await credentials(remote, login, read)
    return Repository(remote=remote, branch=records.branch, credentials=found, orphan=True)


async def former_records(config: Bootstrap, read: Callable[[str], Awaitable[bytes]]) -> Repository:
    """Where the records would be without a repository of their own; raises as :func:`records_repository`."""
    own = await manifests_repository(config.manifests, read)
    return replace(own, branch=config.registries.records.branch, folder=".", orphan=True)


async def credentials(remote: str, login: GitLogin, read: Callable[[str], Awaitable[bytes]]) -> Credentials:
    """The credentials for a remote.

    :param read: reads a secret by its name
    :raises PratiqueError: when a secret cannot be read
    """

    async def text(name: str | None) -> str | None:
        return text_of(await read(name), name).strip() if name else None

    # With an SSH remote the token is only for the forge's API.
    token = None if is_ssh(remote) else await text(login.token)
    key = await text(login.ssh.key) if login.ssh else None
    ssh = SshKey(key, login.ssh.host_keys) if login.ssh and key else None
    return Credentials(token, ssh, await text(login.signing_key))


async def deliver(
    target: Manifests,
    to: Repository,
    edits: Sequence[tuple[str, Edit]],
    *,
    cluster: str,
    run: str,
    policy: str,
    configuration: str | None = None,
    token: str | None,
    http: httpx.AsyncClient,
    before_push: Callable[[], Awaitable[None]] | None = None,
) -> Publication:
    """Commit edits, and deliver them as the configuration says.

    When nothing has to change and nothing waits to be merged, no pull request is opened or closed.

    :param cluster: resource group, after which the working branch is named
    :param run: id of the run, for the commits' trailers
    :param policy: digest of the gate's policy
    :param configuration: commit of the configuration, if the run read it from Git
    :param token: for the forge's API
    :param before_push: as in :func:`~pratique.git.publish.publish`
    :raises PratiqueError: as :func:`~pratique.git.publish.publish` and
        :func:`~pratique.git.forges.pull_request.propose`
    """
    source = None if target.deliver == "push" else working_branch(cluster)
    if source == target.branch:
        raise ConfigurationError(
            "deliver the manifests",
            target.branch,
            "It is the working branch, to which runs add their commits.",
            "Set manifests.branch to another branch.",
        )
    forge = forge_of(target.remote, token or "", http) if target.deliver == "pull-request" else None
    author, trailers = CommitAuthor(target.author.name, target.author.email), {RUN: run, POLICY: policy}
    if configuration:
        trailers[CONFIGURATION] = configuration
    published = await publish(
        to, edits, author=author, trailers=trailers, working_branch=source, before_push=before_push
    )
    if forge is None or source is None or not published.awaits_merge:
        return published
    title = f"Released images and vault of {cluster}"
    proposal = Proposal(source, target.branch, title, _body(published, trailers))
    request = await propose(forge, proposal, update=not published.unchanged)
    return replace(published, url=request.url)


def working_branch(cluster: str) -> str:
    """The branch to which all runs for a cluster add their commits.

    :param cluster: resource group; characters that are invalid in a branch name are replaced, and a digest appended
    """
    name = _INVALID.sub("-", cluster)
    unique = name if name == cluster else f"{name}-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}"
    return f"pratique/{unique}"


def _body(published: Publication, trailers: dict[str, str]) -> str:
    """The pull request's description."""
    changes = [change for commit in published.commits for change in commit.changes]
    rows = [(change.file, change.field, change.before or "", change.after or "") for change in changes[:_ROW_LIMIT]]
    more = [f"… and {len(changes) - _ROW_LIMIT} more."] if len(changes) > _ROW_LIMIT else []
    return "\n".join(
        [
            "Every image named here has passed the gate and is in the registry's `live/`.",
            "",
            *(f"- {commit.message}" for commit in published.commits),
            "",
            table(("file", "field", "before", "after"), rows),
            "",
            *more,
            "",
            *(f"{key}: `{value}`" + "  " for key, value in trailers.items()),
            "",
            "Runs for this cluster update this pull request until it is merged.",
        ]
    )

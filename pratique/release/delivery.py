"""How edits of manifests reach their repository, as the configuration says: pushed, on a branch, as a pull request.

::

    there = await repository(config.manifests, read_secret)
    published = await deliver(config.manifests, there, edits, cluster="rg-bu0001a0008", run=run_id, …)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import httpx

from pratique.config import Manifests
from pratique.errors import ConfigurationError
from pratique.git.checkout import CommitAuthor, Repository
from pratique.git.credentials import Credentials, SshKey, is_ssh
from pratique.git.forges.proposing import Proposal, propose
from pratique.git.forges.remote import forge_of
from pratique.git.pending import RUN
from pratique.git.publish import Edit, Publication, publish
from pratique.markdown import table
from pratique.secret import text_of

POLICY = "Pratique-Policy"

_ROWS = 30  # of changes that a request's body shows
_REFUSED = re.compile(r"[^A-Za-z0-9_.-]|^[.-]|\.{2,}|\.lock$|\.$")


async def repository(target: Manifests, read: Callable[[str], Awaitable[bytes]]) -> Repository:
    """Where the manifests are, with what is needed to get there.

    :param read: reads a secret by its name
    :raises PratiqueError: when one cannot be read
    """

    async def text(name: str | None) -> str | None:
        return text_of(await read(name), name).strip() if name else None

    # With an SSH remote the token is for the forge's API alone.
    token = None if is_ssh(target.remote) else await text(target.token)
    key = await text(target.ssh.key) if target.ssh else None
    ssh = SshKey(key, target.ssh.host_keys) if target.ssh and key else None
    credentials = Credentials(token, ssh, await text(target.signing_key))
    return Repository(target.remote, target.branch, credentials, target.folder)


async def deliver(
    target: Manifests,
    to: Repository,
    edits: Sequence[tuple[str, Edit]],
    *,
    cluster: str,
    run: str,
    policy: str,
    token: str | None,
    http: httpx.AsyncClient,
) -> Publication:
    """Commit edits, and bring them where the configuration says.

    Where nothing is to be changed and nothing waits, nothing is opened and nothing closed.

    :param cluster: resource group, after which our own branch is named
    :param run: what the commits name as the run that made them
    :param policy: digest of the gate's policy
    :param token: for the forge's API
    :raises PratiqueError: as :func:`~pratique.git.publish.publish` and :func:`~pratique.git.forges.proposing.propose`
    """
    through = None if target.deliver == "push" else own_branch(cluster)
    if through == target.branch:
        raise ConfigurationError(
            "deliver the manifests", target.branch, "It is the branch that runs lay their commits on.", "Name another."
        )
    forge = forge_of(target.remote, token or "", http) if target.deliver == "pull-request" else None
    author, trailers = CommitAuthor(target.author.name, target.author.email), {RUN: run, POLICY: policy}
    published = await publish(to, edits, author=author, trailers=trailers, through=through)
    if forge is None or through is None or not published.waits:
        return published
    title = f"Released images and vault of {cluster}"
    proposal = Proposal(through, target.branch, title, _body(published, trailers))
    request = await propose(forge, proposal, again=not published.unchanged)
    return replace(published, url=request.url)


def own_branch(cluster: str) -> str:
    """The branch that runs for a cluster put their commits on: the same for each of them.

    :param cluster: resource group; names that Git does not take for a branch get a digest in place of what it refuses
    """
    name = _REFUSED.sub("-", cluster)
    marked = name if name == cluster else f"{name}-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}"
    return f"pratique/{marked}"


def _body(published: Publication, trailers: dict[str, str]) -> str:
    """What a person reads before merging."""
    changes = [change for commit in published.commits for change in commit.changes]
    rows = [(change.file, change.field, change.before or "", change.after or "") for change in changes[:_ROWS]]
    more = [f"… and {len(changes) - _ROWS} more."] if len(changes) > _ROWS else []
    return "\n".join(
        [
            "Every image named here has passed the gate, and is in the registry's `live/`.",
            "",
            *(f"- {commit.message}" for commit in published.commits),
            "",
            table(("file", "field", "before", "after"), rows),
            "",
            *more,
            "",
            *(f"{key}: `{value}`" + "  " for key, value in trailers.items()),
            "",
            "Runs for this cluster keep this request up to date until it is merged.",
        ]
    )

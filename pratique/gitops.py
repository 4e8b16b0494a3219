"""Commits edits to a branch of a GitOps repository, and pushes them.

Every run starts from a fresh clone: it holds nothing of an earlier run, and what an earlier run has pushed is simply
there::

    publication = await publish(
        "https://github.com/contoso/cluster", "main",
        [("Use released images.", lambda root: point_images(root, "cluster-manifests", registry, images))],
        author=Author("Pratique", "pratique@contoso.com"), token=token,
    )

An edit that changes nothing makes no commit, and a run without a commit makes no push. Where the branch moves
between clone and push, everything is done again from the new head; nothing is ever forced.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from pratique.branches import listed
from pratique.errors import ConfigurationError, GitRejected, NotFound, TransientError
from pratique.git import Git
from pratique.manifests import Change

ATTEMPTS = 3

Edit: TypeAlias = Callable[[Path], Sequence[Change] | Awaitable[Sequence[Change]]]

# A push that lost a race, in git's words and in those of a server that noticed only while it updated the branch.
_MOVED = re.compile(
    r"\((?:fetch first|non-fast-forward)\)|is at [0-9a-f]+ but expected|incorrect old value|reference already exists"
)
_CLONE = ("clone", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--template=")


@dataclass(frozen=True)
class Author:
    """Who the commits are by. Author and committer are the same.

    :raises ConfigurationError: when git would refuse or reshape the name or the address
    """

    name: str
    email: str

    def __post_init__(self) -> None:
        if not self.name.strip() or "@" not in self.email or set("<>\n") & set(self.name + self.email):
            raise ConfigurationError(
                "name the author of commits",
                f"{self.name} {self.email}",
                "It needs a name and an e-mail address.",
                "Set both in the manifests' configuration.",
            )

    @property
    def variables(self) -> dict[str, str]:
        """The author as git's environment."""
        values = {"NAME": self.name, "EMAIL": self.email}
        return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in values.items()}


@dataclass(frozen=True)
class Commit:
    """One commit of this run.

    :ivar changes: what its edit reported
    """

    sha: str
    message: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Publication:
    """What the remote branch holds after a run.

    :ivar remote: without credentials: a remote that has any is refused
    :ivar head: SHA of the branch as it was left: this run's last commit, or what was there already
    :ivar commits: those of this run, all pushed together
    """

    remote: str
    branch: str
    head: str
    commits: tuple[Commit, ...]

    @property
    def unchanged(self) -> bool:
        return not self.commits


class PushResult(Enum):
    """How a push ended, short of an error."""

    PUSHED = "pushed"
    MOVED = "moved"  # the branch has commits that the clone has not: clone again, and edit again


@dataclass(frozen=True)
class Checkout:
    """A clone of one branch, as files below ``root``. Made by :func:`checkout`, gone after it."""

    root: Path
    branch: str
    _git: Git = field(repr=False)

    async def commit(self, message: str, author: Author) -> str | None:
        """Commit all that differs from the last commit; its SHA, or ``None`` when nothing does."""
        attempted = "commit the manifests"
        await self._git.output("add", "--all", cwd=self.root, attempted=attempted)
        if not await self._git.output("status", "--porcelain", cwd=self.root, attempted=attempted):
            return None
        command = ("commit", "--quiet", f"--message={message}")
        await self._git.output(*command, cwd=self.root, attempted=attempted, extra=author.variables)
        return await self.head()

    async def head(self) -> str:
        """SHA of the last commit; empty before the first one."""
        return (await self._git.run("rev-parse", "--verify", "--quiet", "HEAD", cwd=self.root)).output.strip()

    async def push(self, to: str | None = None) -> PushResult:
        """Push the commits, all or none.

        :param to: a branch; that which they came from if left out
        :raises GitRejected: when the server refuses them: a protected branch, a hook
        :raises PratiqueError: as :func:`checkout`
        """
        attempted = "push the manifests"
        result = await self._git.run(
            "push", "--porcelain", "origin", f"HEAD:refs/heads/{to or self.branch}", cwd=self.root
        )
        if result.code == 0:
            return PushResult.PUSHED
        # Porcelain: flag, refs and summary between tabs, "!" for a ref that was not updated.
        refused = [line.split("\t")[-1] for line in result.output.splitlines() if line.startswith("!")]
        if not refused:
            raise self._git.failure(attempted, result)
        if _MOVED.search(f"{refused[0]}\n{result.errors}"):
            return PushResult.MOVED
        raise GitRejected(
            attempted,
            self._git.subject,
            result.said(refused[0]),
            "Let the identity push to this branch, or name a branch that it may push to.",
        )


@asynccontextmanager
async def checkout(
    remote: str, branch: str, *, token: str | None = None, orphan: bool = False
) -> AsyncIterator[Checkout]:
    """Clone the tip of a branch into a temporary directory, and remove it afterwards.

    :param remote: ``https://…``, ``ssh://…``, ``git@host:path``, ``file://…`` or a path; without a password
    :param token: for HTTPS only
    :param orphan: whether a branch that is missing begins empty, with a history of its own
    :raises ConfigurationError: when the remote holds a secret, the token would travel unencrypted, or git is missing
    :raises NotFound: when there is no such repository or branch
    :raises AuthenticationFailed: when the remote does not know the identity
    :raises PermissionDenied: when it knows it, and refuses
    :raises Throttled: when it asks for a slower pace
    :raises Unavailable: when it does not answer, or not in time
    :raises GitRejected: for every other refusal
    """
    git = Git.towards(remote, branch, token)
    attempted = "clone the GitOps repository"
    with tempfile.TemporaryDirectory(prefix="pratique-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        if orphan and await listed(git, remote, branch, root) is None:
            await git.output(
                "init", "--quiet", "--template=", f"--initial-branch={branch}", cwd=root, attempted=attempted
            )
            await git.output("remote", "add", "--", "origin", remote, cwd=root, attempted=attempted)
            yield Checkout(root, branch, git)
            return
        await git.output(*_CLONE, f"--branch={branch}", "--", remote, ".", cwd=root, attempted=attempted)
        # --branch takes a tag as well, and a push would then create a branch of that name.
        current = await git.run("symbolic-ref", "--short", "--quiet", "HEAD", cwd=root)
        if current.output.strip() != branch:
            raise NotFound(attempted, git.subject, "That is not a branch.", "Name a branch in the configuration.")
        yield Checkout(root, branch, git)


async def publish(
    remote: str,
    branch: str,
    edits: Sequence[tuple[str, Edit]],
    *,
    author: Author,
    token: str | None = None,
    orphan: bool = False,
) -> Publication:
    """Clone, apply each edit and commit it, push once; all of it again when the branch moved meanwhile.

    :param edits: commit message and edit, in order. An edit gets the clone's root and says what it changed. It may be
        called again, on another clone; one that is not a coroutine function runs in a thread
    :param orphan: as for :func:`checkout`
    :raises TransientError: when the branch moved during each of :data:`ATTEMPTS` attempts
    :raises PratiqueError: as :func:`checkout` and :meth:`Checkout.push`, and what the edits raise
    """
    for _ in range(ATTEMPTS):
        async with checkout(remote, branch, token=token, orphan=orphan) as tree:
            commits = [commit for message, edit in edits if (commit := await _commit(tree, message, edit, author))]
            if not commits or await tree.push() is PushResult.PUSHED:
                return Publication(remote, branch, await tree.head(), tuple(commits))
    raise TransientError(
        "push the manifests",
        f"{remote}, branch {branch}",
        f"Others pushed to the branch during each of {ATTEMPTS} attempts.",
        "Run it again when the branch is quieter.",
    )


async def _commit(tree: Checkout, message: str, edit: Edit, author: Author) -> Commit | None:
    outcome = await asyncio.to_thread(edit, tree.root)
    changes = await outcome if inspect.isawaitable(outcome) else outcome
    sha = await tree.commit(message, author)
    return Commit(sha, message, tuple(changes)) if sha else None

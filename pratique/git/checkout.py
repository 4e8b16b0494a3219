"""A fresh clone of one branch, in which manifests are edited.

Every run clones anew: the clone holds nothing of an earlier run, and what an earlier run has pushed is simply there. As
little as possible is fetched: one commit, and where the server allows it only the files below the manifests' folder::

    repository = Repository("https://github.com/contoso/cluster", "main", Credentials(token), "cluster-manifests")
    async with checkout(repository) as tree:
        edit(tree.root)
        await tree.commit("Use released images.", author)
        await tree.push()
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from pratique.errors import ConfigurationError, GitRejected, NotFound
from pratique.git.command import Git, credential_helpers
from pratique.git.credentials import Credentials
from pratique.git.sparse import check_out

_CLONE = ("clone", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--template=", "--no-checkout")
# Files come with the checkout, and only those that it needs. A server that knows no filter sends them all at once.
_LATE_FILES = "--filter=blob:none"
# A push that lost a race, in git's words and in those of a server that noticed only while it updated the branch.
_MOVED = re.compile(
    r"\((?:fetch first|non-fast-forward|stale info|failed to update ref|incorrect old value provided)\)"
    r"|is at [0-9a-f]+ but expected|incorrect old value|reference already exists|\.lock': File exists"
)
_TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True)
class CommitAuthor:
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
        return {f"GIT_AUTHOR_{key}": value for key, value in self._values} | self.as_committer

    @property
    def as_committer(self) -> dict[str, str]:
        """The same for a commit that has its author already."""
        return {f"GIT_COMMITTER_{key}": value for key, value in self._values}

    @property
    def _values(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return ("NAME", self.name), ("EMAIL", self.email)


@dataclass(frozen=True)
class Repository:
    """A branch of a GitOps repository, and how to get at it.

    :ivar remote: ``https://…``, ``ssh://…``, ``git@host:path``, ``file://…`` or a path; without a password
    :ivar folder: below which everything lies that is edited; ``.`` for the whole repository
    :ivar orphan: whether a branch that is missing begins empty, with a history of its own
    """

    remote: str
    branch: str
    credentials: Credentials = field(default_factory=Credentials)
    folder: str = "."
    orphan: bool = False

    def __str__(self) -> str:
        return f"{self.remote}, branch {self.branch}"


class PushResult(Enum):
    """How a push ended, short of an error."""

    PUSHED = "pushed"
    MOVED = "moved"  # the branch has commits that the clone has not


@dataclass(frozen=True)
class Checkout:
    """A clone of one branch, as files below ``root``. Made by :func:`checkout`, gone after it."""

    root: Path
    branch: str
    git: Git = field(repr=False)

    async def commit(self, message: str, author: CommitAuthor, trailers: Mapping[str, str] | None = None) -> str | None:
        """Commit all that differs from the last commit; its SHA, or ``None`` when nothing does.

        :param trailers: lines of the form ``Key: value`` that end the message, as ``git interpret-trailers`` has them
        :raises ConfigurationError: for a trailer that would not be read as one
        """
        attempted = "commit the manifests"
        await self.git.output("add", "--all", "--sparse", cwd=self.root, attempted=attempted)
        if not await self.git.output("status", "--porcelain", cwd=self.root, attempted=attempted):
            return None
        command = ("commit", "--quiet", f"--message={message}", *_trailers(trailers or {}))
        await self.git.output(*command, cwd=self.root, attempted=attempted, extra=author.variables)
        return await self.head()

    async def head(self) -> str:
        """SHA of the last commit; empty before the first one."""
        return (await self.git.run("rev-parse", "--verify", "--quiet", "HEAD", cwd=self.root)).output.strip()

    async def renew(self) -> None:
        """Bring the clone to where the remote's branch is now; what was edited or committed in it is gone.

        :raises PratiqueError: as :func:`checkout`
        """
        attempted = "fetch the GitOps repository"
        tip = f"refs/remotes/origin/{self.branch}"
        fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "origin", f"+refs/heads/{self.branch}:{tip}")
        for command in (fetch, ("reset", "--quiet", "--hard", tip), ("clean", "--quiet", "-ffdx")):
            await self.git.output(*command, cwd=self.root, attempted=attempted)

    async def push(self, branch: str | None = None, *, over: str | None = None) -> PushResult:
        """Push the commits to the branch they came from, or to another, all or none.

        :param over: SHA of the other branch's last commit, which may be replaced if it is still that one; empty when
            there is no such branch yet
        :raises GitRejected: when the server refuses them: a protected branch, a hook
        :raises PratiqueError: as :func:`checkout`
        """
        attempted = "push the manifests"
        target = f"refs/heads/{branch or self.branch}"
        lease = () if over is None else (f"--force-with-lease={target}:{over}",)
        result = await self.git.run("push", "--porcelain", *lease, "origin", f"HEAD:{target}", cwd=self.root)
        if result.code == 0:
            return PushResult.PUSHED
        # Porcelain: flag, refs and summary between tabs, "!" for a ref that was not updated.
        refused = [line.split("\t")[-1] for line in result.output.splitlines() if line.startswith("!")]
        if not refused:
            raise self.git.failure(attempted, result)
        if _MOVED.search(f"{refused[0]}\n{result.errors}"):
            return PushResult.MOVED
        raise GitRejected(
            attempted,
            self.git.subject,
            result.said(refused[0]),
            "Let the identity push to this branch, or set manifests.deliver to branch or pull-request.",
        )


@asynccontextmanager
async def checkout(repository: Repository) -> AsyncIterator[Checkout]:
    """Clone the tip of a branch into a temporary directory, and remove it afterwards.

    :raises ConfigurationError: when the remote holds a secret, the token would travel unencrypted, a key cannot be
        used, or git is missing
    :raises NotFound: when there is no such repository or branch
    :raises AuthenticationFailed: when the remote does not know the identity, or is not the pinned host
    :raises PermissionDenied: when it knows it, and refuses
    :raises Throttled: when it asks for a slower pace
    :raises Unavailable: when it does not answer, or not in time
    :raises GitRejected: for every other refusal
    """
    async with connection(repository) as (git, root):
        if repository.orphan and await listed(git, repository, root) is None:
            await _begin(git, repository, root)
        else:
            await _clone(git, repository, root)
        yield Checkout(root, repository.branch, git)


@asynccontextmanager
async def connection(repository: Repository) -> AsyncIterator[tuple[Git, Path]]:
    """git, set up for a repository, and an empty folder to run it in.

    :raises ConfigurationError: as :func:`checkout`
    """
    with _folders() as (keys, root):
        credentials = repository.credentials
        helpers = () if credentials.token or credentials.ssh else await credential_helpers(keys)
        yield Git.towards(repository.remote, repository.branch, credentials, keys, helpers), root


async def listed(git: Git, repository: Repository, root: Path) -> str | None:
    """SHA of the branch's last commit; ``None`` when the repository, which is there, has no such branch.

    :raises PratiqueError: as :func:`checkout`
    """
    command = ("ls-remote", "--", repository.remote, f"refs/heads/{repository.branch}")
    found = await git.output(*command, cwd=root, attempted="look up the branch")
    return found.partition("\t")[0] or None


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    """A private one for keys and one for the clone, so that no key can be committed."""
    with tempfile.TemporaryDirectory(prefix="pratique-", ignore_cleanup_errors=True) as folder:
        keys, root = Path(folder, "keys"), Path(folder, "tree")
        keys.mkdir(mode=0o700)
        root.mkdir()
        yield keys, root


async def _begin(git: Git, repository: Repository, root: Path) -> None:
    """A branch without a commit."""
    attempted = "begin a branch of the GitOps repository"
    init = ("init", "--quiet", "--template=", f"--initial-branch={repository.branch}")
    for command in (init, ("remote", "add", "--", "origin", repository.remote)):
        await git.output(*command, cwd=root, attempted=attempted)


async def _clone(git: Git, repository: Repository, root: Path) -> None:
    attempted, branch = "clone the GitOps repository", repository.branch
    some = repository.folder.strip("/") not in ("", ".")
    late = (_LATE_FILES,) if some else ()
    await git.output(*_CLONE, *late, f"--branch={branch}", "--", repository.remote, ".", cwd=root, attempted=attempted)
    # --branch takes a tag as well, and a push would then create a branch of that name.
    current = await git.run("symbolic-ref", "--short", "--quiet", "HEAD", cwd=root)
    if current.output.strip() != branch:
        raise NotFound(attempted, git.subject, "That is not a branch.", "Name a branch in the configuration.")
    if some:
        await check_out(git, root, branch, repository.folder, attempted=attempted)
    else:
        await git.output("checkout", "--quiet", "--force", branch, "--", cwd=root, attempted=attempted)


def _trailers(trailers: Mapping[str, str]) -> list[str]:
    for key, value in trailers.items():
        if not _TRAILER.fullmatch(key) or not value.strip() or "\n" in value:
            raise ConfigurationError(
                "sign the commit's message", f"{key}: {value!r}", "That is no trailer.", "Give it a key and one line."
            )
    return [f"--trailer={key}: {value}" for key, value in trailers.items()]

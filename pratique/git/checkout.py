"""A fresh clone of one branch, in which manifests are edited.

Every run makes a fresh clone, so nothing is left over from an earlier run, and everything that an earlier run pushed is
in it. The clone fetches as little as possible: one commit and, where the server allows it, only the files below the
manifests' folder::

    repository = Repository(remote="https://github.com/contoso/cluster", branch="main", folder="cluster-manifests")
    async with checkout(repository) as tree:
        edit(tree.root)
        await tree.commit("Use released images.", author, ["cluster-manifests/kustomization.yaml"])
        await tree.push()
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from pratique.errors import ConfigurationError, GitRejected, NotFound
from pratique.git.command import Git, Result, credential_helpers
from pratique.git.credentials import Credentials
from pratique.git.raw import disable_conversions, stage
from pratique.git.sparse import check_out

_CLONE = ("clone", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--template=", "--no-checkout")
# The checkout fetches the files that it needs. A server that does not support filters sends all files with the clone.
_PARTIAL_CLONE = "--filter=blob:none"
# A push that lost a race: git's messages, and those of a server that notices only while it updates the branch.
_MOVED = re.compile(
    r"\((?:fetch first|non-fast-forward|stale info|failed to update ref|incorrect old value provided)\)"
    r"|is at [0-9a-f]+ but expected|incorrect old value|reference already exists|\.lock': File exists"
)
# Required signatures, as GitHub and GitLab word them.
_UNSIGNED = re.compile(r"verified signatures?|(?:must be|not|un)\s?signed", re.IGNORECASE)
_TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


#: The next step after a push that the branch refused.
MAY_PUSH = "Allow the identity to push to this branch, or set manifests.deliver to branch or pull-request."


def signing_step(section: str = "manifests") -> str:
    """The next step where only signed commits are accepted.

    :param section: of the configuration, which names the key
    """
    return (
        f"Set {section}.signing_key, and add its public key as a signing key to the account of the address in "
        "manifests.author.email."
    )


@dataclass(frozen=True)
class CommitAuthor:
    """Author and committer of the commits.

    :raises ConfigurationError: when git would refuse or change the name or the address
    """

    name: str
    email: str

    def __post_init__(self) -> None:
        if not self.name.strip() or "@" not in self.email or set("<>\n") & set(self.name + self.email):
            raise ConfigurationError(
                "name the author of commits",
                f"{self.name} {self.email}",
                "Commits need a name and an e-mail address.",
                "Set manifests.author.name and manifests.author.email.",
            )

    @property
    def variables(self) -> dict[str, str]:
        """Author and committer as environment variables for git."""
        return {f"GIT_AUTHOR_{key}": value for key, value in self._values} | self.as_committer

    @property
    def as_committer(self) -> dict[str, str]:
        """The committer alone, for a commit that already has its author."""
        return {f"GIT_COMMITTER_{key}": value for key, value in self._values}

    @property
    def _values(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return ("NAME", self.name), ("EMAIL", self.email)


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A branch of a GitOps repository, and the credentials for it.

    :ivar remote: ``https://…``, ``ssh://…``, ``git@host:path``, ``file://…`` or a path; without a password
    :ivar folder: the folder whose files are edited; ``.`` for the whole repository
    :ivar orphan: whether a missing branch starts empty, with a separate history
    """

    remote: str
    branch: str
    credentials: Credentials = field(default_factory=Credentials)
    folder: str = "."
    orphan: bool = False

    def __str__(self) -> str:
        return f"{self.remote}, branch {self.branch}"


class PushResult(Enum):
    """Outcome of a push that did not fail."""

    PUSHED = "pushed"
    MOVED = "moved"  # the branch has commits that the clone lacks


@dataclass(frozen=True)
class Checkout:
    """A clone of one branch, as files below ``root``. :func:`checkout` creates and deletes it."""

    root: Path
    branch: str
    git: Git = field(repr=False)

    async def commit(
        self, message: str, author: CommitAuthor, files: Iterable[str], trailers: Mapping[str, str] | None = None
    ) -> str | None:
        """Commit files byte for byte, and nothing else; the new SHA, or ``None`` when none of them changed.

        :param files: paths from the root
        :param trailers: ``Key: value`` lines at the end of the message, in the format of ``git interpret-trailers``
        :raises ConfigurationError: for a trailer that git would not recognise
        :raises ManifestRejected: when one of the files is a symbolic link in the repository
        """
        attempted = "commit the manifests"
        if not await stage(self.git, self.root, files, attempted=attempted):
            return None
        command = ("commit", "--quiet", f"--message={message}", *_trailers(trailers or {}))
        await self.git.output(*command, cwd=self.root, attempted=attempted, extra=author.variables)
        return await self.head()

    async def head(self) -> str:
        """SHA of the last commit; empty before the first one."""
        return (await self.git.run("rev-parse", "--verify", "--quiet", "HEAD", cwd=self.root)).output.strip()

    async def reset(self) -> None:
        """Reset the clone to the remote branch's current commit; edits and commits in the clone are lost.

        :raises PratiqueError: as :func:`checkout`
        """
        attempted = "fetch the GitOps repository"
        tip = f"refs/remotes/origin/{self.branch}"
        fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "origin", f"+refs/heads/{self.branch}:{tip}")
        for command in (fetch, ("reset", "--quiet", "--hard", tip), ("clean", "--quiet", "-ffdx")):
            await self.git.output(*command, cwd=self.root, attempted=attempted)

    async def push(self, branch: str | None = None, *, over: str | None = None) -> PushResult:
        """Push all commits, or none, to the cloned branch or to another one.

        :param over: SHA of the other branch's last commit, which the push may replace if it is still the last; empty
            when that branch does not exist yet
        :raises GitRejected: when the server refuses them because of a protected branch or a hook
        :raises PratiqueError: as :func:`checkout`
        """
        attempted = "push the manifests"
        target = f"refs/heads/{branch or self.branch}"
        lease = () if over is None else (f"--force-with-lease={target}:{over}",)
        result = await self.git.run("push", "--porcelain", *lease, "origin", f"HEAD:{target}", cwd=self.root)
        if result.code == 0:
            return PushResult.PUSHED
        refused = _refused(result)
        if not refused:
            raise self.git.failure(attempted, result, pushing=True)
        if _MOVED.search(f"{refused[0]}\n{result.errors}"):
            return PushResult.MOVED
        message = result.message(refused[0])
        raise GitRejected(
            attempted, self.git.subject, message, signing_step() if _UNSIGNED.search(message) else MAY_PUSH
        )

    async def require_write_access(self) -> None:
        """Find out whether this identity may push at all, and push nothing.

        Servers look at the right to write before a push sends anything: GitHub, GitLab and Azure DevOps answer 403
        where git asks which branches there are, and refuse read-only SSH keys there. Rules of the branch and hooks
        decide later, when the push itself has arrived.

        :raises PermissionDenied: when it may only read
        :raises PratiqueError: as :func:`checkout`
        """
        attempted = "push to the repository"
        commit = await self.head() or await self._empty_commit(attempted)
        target = f"{commit}:refs/heads/{self.branch}"
        result = await self.git.run("push", "--dry-run", "--porcelain", "origin", target, cwd=self.root)
        if result.code and not _refused(result):  # refused: the branch has moved
            raise self.git.failure(attempted, result, pushing=True)

    async def _empty_commit(self, attempted: str) -> str:
        """SHA of a commit without files, for a branch that has none yet; no branch of the clone has it."""
        nobody = CommitAuthor("Pratique", "pratique@localhost").variables
        tree = await self.git.output("mktree", cwd=self.root, attempted=attempted)
        command = ("commit-tree", "-m", "check", tree.strip())
        return (await self.git.output(*command, cwd=self.root, attempted=attempted, extra=nobody)).strip()


@asynccontextmanager
async def checkout(repository: Repository) -> AsyncIterator[Checkout]:
    """Clone the tip of a branch into a temporary directory, and remove it afterwards.

    :raises ConfigurationError: when the remote's URL contains a secret, the token would travel unencrypted, a key is
        unusable, or git is missing
    :raises NotFound: when the repository or the branch does not exist
    :raises AuthenticationFailed: when the remote does not know the identity, or its host key is not the pinned one
    :raises PermissionDenied: when the identity lacks the permission
    :raises Throttled: when the remote limits the rate of requests
    :raises Unavailable: when the remote does not answer in time
    :raises GitRejected: for every other refusal
    """
    async with connection(repository) as (git, root):
        if repository.orphan and await remote_head(git, repository, root) is None:
            await _create_branch(git, repository, root)
        else:
            await _clone(git, repository, root)
        yield Checkout(root, repository.branch, git)


@asynccontextmanager
async def connection(repository: Repository) -> AsyncIterator[tuple[Git, Path]]:
    """git configured for a repository, and an empty folder to run it in.

    :raises ConfigurationError: as :func:`checkout`
    """
    with _folders() as (keys, root):
        credentials = repository.credentials
        helpers = () if credentials.token or credentials.ssh else await credential_helpers(keys)
        yield Git.for_remote(repository.remote, repository.branch, credentials, keys, helpers), root


async def remote_head(git: Git, repository: Repository, root: Path) -> str | None:
    """SHA of the remote branch's last commit; ``None`` when the repository exists and has no such branch.

    :raises PratiqueError: as :func:`checkout`
    """
    command = ("ls-remote", "--", repository.remote, f"refs/heads/{repository.branch}")
    found = await git.output(*command, cwd=root, attempted="look up the branch")
    return found.partition("\t")[0] or None


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    """A private folder for keys and one for the clone, so that no key can be committed."""
    with tempfile.TemporaryDirectory(prefix="pratique-", ignore_cleanup_errors=True) as folder:
        keys, root = Path(folder, "keys"), Path(folder, "tree")
        keys.mkdir(mode=0o700)
        root.mkdir()
        yield keys, root


async def _create_branch(git: Git, repository: Repository, root: Path) -> None:
    """Create a branch without a commit."""
    attempted = "create a branch of the GitOps repository"
    init = ("init", "--quiet", "--template=", f"--initial-branch={repository.branch}")
    for command in (init, ("remote", "add", "--", "origin", repository.remote)):
        await git.output(*command, cwd=root, attempted=attempted)
    disable_conversions(root)


async def _clone(git: Git, repository: Repository, root: Path) -> None:
    attempted, branch = "clone the GitOps repository", repository.branch
    partial = repository.folder.strip("/") not in ("", ".")
    options = (*_CLONE, *([_PARTIAL_CLONE] if partial else []), f"--branch={branch}")
    await git.output(*options, "--", repository.remote, ".", cwd=root, attempted=attempted)
    # --branch accepts a tag as well, and a push would then create a branch of that name.
    current = await git.run("symbolic-ref", "--short", "--quiet", "HEAD", cwd=root)
    if current.output.strip() != branch:
        raise NotFound(attempted, git.subject, "It is not a branch.", "Set manifests.branch to the name of a branch.")
    disable_conversions(root)
    if partial:
        await check_out(git, root, branch, repository.folder, attempted=attempted)
    else:
        await git.output("checkout", "--quiet", "--force", branch, "--", cwd=root, attempted=attempted)


def _refused(result: Result) -> list[str]:
    """The reasons for refs that were not updated, from porcelain output: flag, refs and summary between tabs."""
    return [line.split("\t")[-1] for line in result.output.splitlines() if line.startswith("!")]


def _trailers(trailers: Mapping[str, str]) -> list[str]:
    for key, value in trailers.items():
        if not _TRAILER.fullmatch(key) or not value.strip() or "\n" in value:
            raise ConfigurationError(
                "add a trailer to the commit message",
                f"{key}: {value!r}",
                "It is not a valid trailer.",
                "Use a key of letters, digits and hyphens, and a value of one line.",
            )
    return [f"--trailer={key}: {value}" for key, value in trailers.items()]

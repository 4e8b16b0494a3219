"""Reads files of one commit of a branch, into a folder.

::

    async with snapshot(repository, folder) as files:
        content = await files.read("clusters/green.yaml", limit=1024 * 1024)
        await files.write("clusters/exceptions.yaml", limit=1024 * 1024)  # now below the folder, too

The folder is then a work tree of that commit with these files alone, so that :func:`~pratique.git.status.git_status`
names the commit of each. No file is converted, no link followed, no hook or filter run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pratique.errors import ConfigurationError, NotFound
from pratique.git.checkout import Repository, connection
from pratique.git.command import Git

_ATTEMPTED = "read the configuration's repository"
_ALL = 2**31 - 1  # as deep as git can fetch: the whole history
_FOLDER, _FILES = ("040000",), ("100644", "100755")
_KINDS = {"120000": "It is a symbolic link", "160000": "It is a submodule", "040000": "It is a folder"}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The files of one commit.

    :ivar commit: its SHA
    :ivar folder: the work tree
    :ivar subject: remote, branch and commit, for errors
    """

    commit: str
    folder: Path
    subject: str
    git: Git = field(repr=False)

    async def read(self, path: str, *, limit: int) -> bytes:
        """The content of a file.

        :param path: from the root, without ``.`` and ``..``
        :param limit: most bytes
        :raises NotFound: when the commit has no such file
        :raises ConfigurationError: when it is a symbolic link, below one, no file at all, or too large
        :raises PratiqueError: as :func:`snapshot`
        """
        blob = await self._blob(path)
        size = await self.git.output("cat-file", "-s", blob, cwd=self.folder, attempted=_ATTEMPTED)
        if int(size) > limit:
            raise self._refused(path, f"It has {size} bytes, and may have {limit}.", "Make the file smaller.")
        return await self.git.content("cat-file", "blob", blob, cwd=self.folder, attempted=_ATTEMPTED)

    async def write(self, path: str, *, limit: int) -> None:
        """Write a file into the folder; raises as :meth:`read`."""
        content = await self.read(path, limit=limit)
        await asyncio.to_thread(_write, self.folder / path, content)

    async def _blob(self, path: str) -> str:
        """Object id of a file, after a look at each folder above it."""
        parts = PurePosixPath(path).parts
        for end in range(1, len(parts) + 1):
            above = "/".join(parts[:end])
            listed = await self.git.output(
                "ls-tree", "-z", self.commit, "--", above, cwd=self.folder, attempted=_ATTEMPTED
            )
            mode, _, rest = listed.partition(" ")
            if not rest:
                raise NotFound(
                    _ATTEMPTED,
                    f"{path} in {self.subject}",
                    "The commit has no such file.",
                    "Commit the file to that branch, or correct the path.",
                )
            if mode not in (_FILES if end == len(parts) else _FOLDER):
                observed = f"{_KINDS.get(mode, 'It is a file')}{'' if end == len(parts) else f': {above}'}."
                raise self._refused(path, observed, "Commit a file there.")
        return rest.partition("\t")[0].split(" ")[1]

    def _refused(self, path: str, observed: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(_ATTEMPTED, f"{path} in {self.subject}", observed, remedy)


@asynccontextmanager
async def snapshot(repository: Repository, folder: Path, commit: str | None = None) -> AsyncIterator[Snapshot]:
    """Fetch a commit of a branch into an empty folder, as a work tree without files. Credentials last for the block.

    :param folder: private to this user; the caller removes it
    :param commit: full SHA; without it the branch's last commit
    :raises ConfigurationError: when the branch does not have the commit
    :raises PratiqueError: as :func:`.checkout.checkout`
    """
    async with connection(repository) as (git, _):

        async def run(*command: str) -> str:
            return await git.output(*command, cwd=folder, attempted=_ATTEMPTED)

        tip = f"refs/remotes/origin/{repository.branch}"
        fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none")
        refs = ("origin", f"+refs/heads/{repository.branch}:{tip}")
        await run("init", "--quiet", "--template=")
        await run("remote", "add", "--", "origin", repository.remote)
        await run(*fetch, "--depth=1", *refs)
        found = await run("rev-parse", "--verify", tip)
        if commit is not None and commit != found:
            await run(*fetch, f"--depth={_ALL}", *refs)
            if (await git.run("merge-base", "--is-ancestor", commit, tip, cwd=folder)).code:
                raise _not_of_the_branch(repository, commit)
            found = commit
        await run("update-ref", "--no-deref", "HEAD", found)
        yield Snapshot(commit=found, folder=folder, subject=f"{repository}, commit {found[:12]}", git=git)


def _not_of_the_branch(repository: Repository, commit: str) -> ConfigurationError:
    return ConfigurationError(
        "use the configuration of a commit",
        f"{repository}, commit {commit}",
        "The branch does not have this commit: it is another branch's, or the branch was moved by force.",
        "Start a new run, which uses the branch's last commit, or name a commit of the branch.",
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

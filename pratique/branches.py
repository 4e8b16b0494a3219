"""Looks at branches of a remote repository, and removes them, without a clone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pratique.git import Git


async def branch_head(remote: str, branch: str, *, token: str | None = None) -> str | None:
    """SHA of a branch's last commit; ``None`` when the repository, which is there, has no such branch.

    :raises PratiqueError: as :meth:`pratique.git.Git.output`
    """
    with tempfile.TemporaryDirectory(prefix="pratique-") as folder:
        return await listed(Git.towards(remote, branch, token), remote, branch, Path(folder))


async def delete_branch(remote: str, branch: str, sha: str, *, token: str | None = None) -> bool:
    """Remove a branch that still stands where we left it; ``False`` when it does not, and stays.

    :param sha: of its last commit
    :raises PratiqueError: as :meth:`pratique.git.Git.output`
    """
    git = Git.towards(remote, branch, token)
    with tempfile.TemporaryDirectory(prefix="pratique-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        if await listed(git, remote, branch, root) is None:
            return True
        await git.output("init", "--quiet", "--template=", cwd=root, attempted="delete the branch")
        lease = f"--force-with-lease=refs/heads/{branch}:{sha}"
        result = await git.run("push", "--porcelain", lease, "--", remote, f":refs/heads/{branch}", cwd=root)
    if result.code and "stale info" not in f"{result.output}{result.errors}":
        raise git.failure("delete the branch", result)
    return result.code == 0


async def listed(git: Git, remote: str, branch: str, root: Path) -> str | None:
    """The same, for whoever has a :class:`~pratique.git.Git` and a folder."""
    command = ("ls-remote", "--", remote, f"refs/heads/{branch}")
    found = await git.output(*command, cwd=root, attempted="look up the branch")
    return found.partition("\t")[0] or None

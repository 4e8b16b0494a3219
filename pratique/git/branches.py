"""Deletes branches of a remote repository, without a clone."""

from __future__ import annotations

from pratique.git.checkout import Repository, connection, remote_head


async def delete_branch(branch: Repository, sha: str) -> bool:
    """Delete a branch if its last commit is still the given one; ``False`` when it is another, and the branch stays.

    :param sha: of the branch's last commit
    :raises PratiqueError: as :func:`.checkout.checkout`
    """
    name = f"refs/heads/{branch.branch}"
    async with connection(branch) as (git, root):
        if await remote_head(git, branch, root) is None:
            return True
        await git.output("init", "--quiet", "--template=", cwd=root, attempted="delete the branch")
        push = ("push", "--porcelain", f"--force-with-lease={name}:{sha}", "--", branch.remote, f":{name}")
        result = await git.run(*push, cwd=root)
        if result.code and "stale info" not in f"{result.output}{result.errors}":
            raise git.failure("delete the branch", result)
        return result.code == 0

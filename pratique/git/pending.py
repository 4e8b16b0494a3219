"""Commits of earlier runs that wait on the working branch until somebody merges them.

A run puts its commits on top of those, so that several releases can wait together. It reapplies only commits with this
project's trailer, and never replaces a person's commits on the branch.
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.errors import Conflict
from pratique.git.checkout import Checkout, CommitAuthor
from pratique.git.raw import differs

#: Trailer that marks the commits of runs.
RUN = "Pratique-Run"

_DEPTH = 50  # commits of each branch to fetch, to find their common ancestor
_WORKING = "refs/pratique/working"
_FORMAT = f"--format=%H%x09%P%x09%(trailers:key={RUN},valueonly,separator=%x2C)%x09%s"


@dataclass(frozen=True)
class Pending:
    """The state of the working branch.

    :ivar tip: SHA of its last commit; empty when the branch does not exist
    :ivar waiting: whether it has changes that the target branch lacks
    """

    tip: str
    waiting: bool


async def reapply_pending(tree: Checkout, branch: str, author: CommitAuthor) -> Pending:
    """Put the commits of the working branch on top of an unmodified checkout.

    Where both changed the same lines, the checkout's version wins.

    :param author: the committer of the reapplied commits; they keep their author
    :raises Conflict: when the branch has other people's commits, or changes files that no longer exist
    :raises PratiqueError: as :func:`.checkout.checkout`
    """
    attempted = "read the working branch"
    listed = await tree.git.output("ls-remote", "origin", f"refs/heads/{branch}", cwd=tree.root, attempted=attempted)
    if not listed:
        return Pending("", waiting=False)
    target_head = await tree.head()
    refs = (f"refs/heads/{tree.branch}", f"+refs/heads/{branch}:{_WORKING}")
    fetch = ("fetch", "--quiet", f"--depth={_DEPTH}", "--no-tags", "origin", *refs)
    await tree.git.output(*fetch, cwd=tree.root, attempted=attempted)
    for commit in reversed(await _pending_commits(tree, branch)):
        await _reapply(tree, commit, branch, author)
    tip = await tree.git.output("rev-parse", _WORKING, cwd=tree.root, attempted=attempted)
    return Pending(tip, waiting=await tree.head() != target_head)


async def _pending_commits(tree: Checkout, branch: str) -> list[str]:
    """Commits of runs at the end of the working branch that the checkout's branch lacks, newest first."""
    command = ("log", "--first-parent", _FORMAT, _WORKING, "--not", "HEAD")
    log = await tree.git.output(*command, cwd=tree.root, attempted="read the working branch")
    commits: list[str] = []
    for sha, parents, run, subject in (line.split("\t", 3) for line in log.splitlines()):
        if run and parents:
            commits.append(sha)
        elif len(parents.split()) < 2:  # two parents: the target was merged into it, as forges offer
            if not commits:
                raise Conflict(
                    "add commits to the working branch",
                    f"branch {branch}",
                    f"Its last commit {sha[:12]} ({subject}) was not made by a run.",
                    "Move that commit to another branch or merge it; or delete this branch, and the next run recreates "
                    "it.",
                )
            break
    return commits


async def _reapply(tree: Checkout, commit: str, branch: str, author: CommitAuthor) -> None:
    attempted = "add commits to the working branch"
    pick = ("cherry-pick", "--no-commit", "--strategy-option=ours", commit)
    result = await tree.git.run(*pick, cwd=tree.root, extra=author.variables)
    if result.code:
        unmerged = ("diff", "--name-only", "--diff-filter=U")
        files = (await tree.git.run(*unmerged, cwd=tree.root)).output.split("\n")
        if not any(files):
            raise tree.git.failure(attempted, result)
        raise Conflict(
            attempted,
            f"branch {branch}, {', '.join(filter(None, files))}",
            f"Its commit {commit[:12]} changes files that no longer exist on {tree.branch}.",
            "Delete the branch. The next run recreates it.",
        )
    if await differs(tree.git, tree.root, attempted=attempted):
        command = ("commit", "--quiet", f"--reuse-message={commit}")
        await tree.git.output(*command, cwd=tree.root, attempted=attempted, extra=author.as_committer)

"""Commits of earlier runs that wait on a branch of our own until somebody merges them.

A run puts its commits on top of those, so that two releases wait side by side. Only commits that carry our trailer are
taken along: what a person put on the branch is never replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.errors import Conflict
from pratique.git.checkout import Checkout, CommitAuthor

#: Trailer by which our commits are known.
RUN = "Pratique-Run"

_DEPTH = 50  # commits of either branch that are fetched to find where they part
_OWN = "refs/pratique/own"
_FORMAT = f"--format=%H%x09%P%x09%(trailers:key={RUN},valueonly,separator=%x2C)%x09%s"


@dataclass(frozen=True)
class Pending:
    """What waits on the branch.

    :ivar tip: SHA of the branch's last commit; empty when there is no such branch
    :ivar waiting: whether any of it is not yet in the branch below
    """

    tip: str
    waiting: bool


async def take_along(tree: Checkout, branch: str, author: CommitAuthor) -> Pending:
    """Put the commits that wait on a branch of ours on top of the checkout, which has to be as it was cloned.

    Where they contradict what the checkout says by now, the checkout wins.

    :param author: who commits them again; their own author stays
    :raises Conflict: when the branch holds commits of somebody else's, or changes files that are gone by now
    :raises PratiqueError: as :func:`.checkout.checkout`
    """
    attempted = "read the branch that waits"
    listed = await tree.git.output("ls-remote", "origin", f"refs/heads/{branch}", cwd=tree.root, attempted=attempted)
    if not listed:
        return Pending("", waiting=False)
    below = await tree.head()
    wanted = (f"refs/heads/{tree.branch}", f"+refs/heads/{branch}:{_OWN}")
    fetch = ("fetch", "--quiet", f"--depth={_DEPTH}", "--no-tags", "origin", *wanted)
    await tree.git.output(*fetch, cwd=tree.root, attempted=attempted)
    for commit in reversed(await _ours(tree, branch)):
        await _again(tree, commit, branch, author)
    tip = await tree.git.output("rev-parse", _OWN, cwd=tree.root, attempted=attempted)
    return Pending(tip, waiting=await tree.head() != below)


async def _ours(tree: Checkout, branch: str) -> list[str]:
    """Our commits at the end of the branch that the checkout's has not, newest first."""
    command = ("log", "--first-parent", _FORMAT, _OWN, "--not", "HEAD")
    log = await tree.git.output(*command, cwd=tree.root, attempted="read the branch that waits")
    ours: list[str] = []
    for sha, parents, run, subject in (line.split("\t", 3) for line in log.splitlines()):
        if run and parents:
            ours.append(sha)
        elif len(parents.split()) < 2:  # two: the branch below was merged into it, as forges offer
            if not ours:
                raise Conflict(
                    "continue the branch that waits",
                    f"branch {branch}",
                    f"Its last commit {sha[:12]} ({subject}) is not of a run.",
                    "Move that commit to another branch, or merge it; or delete this branch, which a run makes anew.",
                )
            break
    return ours


async def _again(tree: Checkout, commit: str, branch: str, author: CommitAuthor) -> None:
    attempted = "continue the branch that waits"
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
            f"Its commit {commit[:12]} changes what is gone from {tree.branch} by now.",
            "Delete the branch: the next run makes it anew.",
        )
    if (await tree.git.run("diff", "--cached", "--quiet", cwd=tree.root)).code:
        again = ("commit", "--quiet", f"--reuse-message={commit}")
        await tree.git.output(*again, cwd=tree.root, attempted=attempted, extra=author.as_committer)

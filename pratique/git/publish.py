"""Commits edits and pushes them, to a branch of a GitOps repository or to this project's working branch.

::

    publication = await publish(
        Repository(remote="https://github.com/contoso/cluster", branch="main", folder="cluster-manifests"),
        [("Use released images.", lambda root: point_images(root, "cluster-manifests", registry, images))],
        author=CommitAuthor("Pratique", "pratique@contoso.com"), trailers={"Pratique-Run": run_id},
    )

A commit holds the files that the edit's changes name, byte for byte, and no others. An edit that changes nothing makes
no commit, and a run without commits does not push. If the branch moves between clone and push, the edits are applied
again on its new head. Only the working branch is ever force-pushed, and only over the commits that this run has
reapplied.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pratique.change import Change
from pratique.errors import Conflict, TransientError
from pratique.git.checkout import Checkout, CommitAuthor, PushResult, Repository, checkout
from pratique.git.pending import Pending, reapply_pending

#: Attempts to push. Of ten runs that push at the same moment, one succeeds each time.
ATTEMPTS = 20
# Seconds between two attempts: random, up to a limit that doubles, so that colliding runs do not collide again.
_PAUSE, _LONGEST_PAUSE = 0.1, 3.0

#: Edits files below a clone's root, and returns its changes. Files that no change names are not committed.
Edit: TypeAlias = Callable[[Path], Sequence[Change] | Awaitable[Sequence[Change]]]

_random = random.SystemRandom()


@dataclass(frozen=True)
class Commit:
    """One commit of this run.

    :ivar changes: as its edit reported them
    """

    sha: str
    message: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The state of the remote after a run.

    :ivar remote: without credentials, as a remote with credentials is refused
    :ivar branch: the target branch, or the working branch while it has changes to merge
    :ivar head: SHA of the branch's last commit after the run
    :ivar commits: those of this run, all pushed together
    :ivar awaits_merge: whether the branch is the working branch, and has changes to merge
    :ivar url: of the pull request, if there is one
    """

    remote: str
    branch: str
    head: str
    commits: tuple[Commit, ...] = ()
    awaits_merge: bool = False
    url: str | None = None

    @property
    def unchanged(self) -> bool:
        return not self.commits


async def publish(
    repository: Repository,
    edits: Sequence[tuple[str, Edit]],
    *,
    author: CommitAuthor,
    trailers: Mapping[str, str] | None = None,
    working_branch: str | None = None,
    before_push: Callable[[], Awaitable[None]] | None = None,
) -> Publication:
    """Clone, apply and commit each edit, push once; start over from the new head when the branch has moved.

    An edit may overwrite values that were there when this function first cloned the branch, but never a value that
    somebody else has written since: if an edit would change a value that it did not find the first time, that is a
    conflict. It is no conflict when the other value is already the wanted one. A new run resolves the conflict, as it
    finds the other value from the start.

    :param edits: commit message and edit, in order. An edit gets the clone's root and returns its changes. It may be
        called more than once; an edit that is not a coroutine function runs in a thread
    :param trailers: at the end of each message; :data:`~pratique.git.pending.RUN` is required with ``working_branch``
    :param working_branch: gets the commits instead of the target, on top of the commits that wait there. It stays as
        it is when the edits add nothing to it
    :param before_push: called right before each push, and when there is nothing to push; what it raises stops the push
    :raises Conflict: names the file and the key, or the obstacle on the working branch
    :raises TransientError: when the branch moved during each of :data:`ATTEMPTS` attempts
    :raises PratiqueError: as :func:`.checkout.checkout` and :meth:`Checkout.push`, and what the edits raise
    """
    found: frozenset[_Found] | None = None
    async with checkout(repository) as tree:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(_random.uniform(0, min(_LONGEST_PAUSE, _PAUSE * 2**attempt)))
                await tree.reset()
            pending = await reapply_pending(tree, working_branch, author) if working_branch else None
            commits = [
                commit for message, edit in edits if (commit := await _commit(tree, message, edit, author, trailers))
            ]
            found = _require_no_conflict(found, commits, repository)
            if before_push is not None:
                await before_push()
            if not commits or await _push(tree, working_branch, pending) is PushResult.PUSHED:
                return await _publication(repository, tree, commits, working_branch, pending)
    raise TransientError(
        "push the manifests",
        str(repository),
        f"Others pushed to the branch during each of {ATTEMPTS} attempts.",
        "Run it again when fewer people push to the branch.",
    )


#: File, field, and the value that an edit found there.
_Found: TypeAlias = tuple[str, str, str | None]


def _require_no_conflict(
    found: frozenset[_Found] | None, commits: Iterable[Commit], repository: Repository
) -> frozenset[_Found]:
    """The values that the edits found the first time.

    :raises Conflict: when the edits now find other values
    """
    changes = [change for commit in commits for change in commit.changes]
    if found is None:
        return frozenset((change.file, change.field, change.before) for change in changes)
    for change in changes:
        if change.before is not None and (change.file, change.field, change.before) not in found:
            raise Conflict(
                "push the manifests",
                f"{repository}, {change.file}: {change.field}",
                f"Somebody set it to {change.before!r} while this run was about to set it to {change.after!r}.",
                "Find out who set it, and whether their value is right. A new run overwrites it.",
            )
    return found


async def _push(tree: Checkout, working_branch: str | None, pending: Pending | None) -> PushResult:
    return await (tree.push() if pending is None else tree.push(working_branch, over=pending.tip))


async def _publication(
    repository: Repository,
    tree: Checkout,
    commits: Sequence[Commit],
    working_branch: str | None,
    pending: Pending | None,
) -> Publication:
    remote, head = repository.remote, await tree.head()
    if working_branch and pending and (commits or pending.waiting):
        tip = head if commits else pending.tip
        return Publication(remote=remote, branch=working_branch, head=tip, commits=tuple(commits), awaits_merge=True)
    return Publication(remote=remote, branch=repository.branch, head=head, commits=tuple(commits))


async def apply_edit(edit: Edit, root: Path) -> Sequence[Change]:
    """Apply an edit to the files below a clone's root, in a thread unless it is a coroutine function."""
    outcome = await asyncio.to_thread(edit, root)
    return await outcome if inspect.isawaitable(outcome) else outcome


async def _commit(
    tree: Checkout, message: str, edit: Edit, author: CommitAuthor, trailers: Mapping[str, str] | None
) -> Commit | None:
    changes = await apply_edit(edit, tree.root)
    sha = await tree.commit(message, author, {change.file for change in changes}, trailers)
    return Commit(sha, message, tuple(changes)) if sha else None

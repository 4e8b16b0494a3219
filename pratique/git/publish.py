"""Commits edits to a branch of a GitOps repository and pushes them, or lays them on a branch of our own.

::

    publication = await publish(
        Repository("https://github.com/contoso/cluster", "main", Credentials(token), "cluster-manifests"),
        [("Use released images.", lambda root: point_images(root, "cluster-manifests", registry, images))],
        author=Author("Pratique", "pratique@contoso.com"), trailers={"Pratique-Run": run_id},
    )

An edit that changes nothing makes no commit, and a run without a commit makes no push. Where the branch moves between
clone and push, the edits are applied again from the new head. Nothing is ever forced on a branch but our own, and there
only over the commits that this run has taken along.
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
from pratique.git.pending import Pending, take_along

#: Pushes that one run tries: of ten that push at the same moment one lands each time.
ATTEMPTS = 20
# Seconds between two of them: any time up to a limit that doubles, so that those who collided part.
_PAUSE, _LONGEST_PAUSE = 0.1, 3.0

Edit: TypeAlias = Callable[[Path], Sequence[Change] | Awaitable[Sequence[Change]]]

_random = random.SystemRandom()


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
    """What the remote holds after a run.

    :ivar remote: without credentials: a remote that has any is refused
    :ivar branch: that has it: the target, or a branch of our own where something waits on it
    :ivar head: SHA of that branch as it was left: this run's last commit, or what was there already
    :ivar commits: those of this run, all pushed together
    :ivar waits: whether the branch is our own, and something on it waits to be merged
    :ivar url: of the pull request, where there is one
    """

    remote: str
    branch: str
    head: str
    commits: tuple[Commit, ...]
    waits: bool = False
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
    through: str | None = None,
) -> Publication:
    """Clone, apply each edit and commit it, push once; all of it again when the branch moved meanwhile.

    An edit overwrites what stood when this function first cloned the branch. What somebody else wrote since is never
    overwritten: a value that an edit would change, and that it did not find the first time, is a conflict, unless it is
    what the edit wants anyway. Running again settles it, as the other's value then stood from the beginning.

    :param edits: commit message and edit, in order. An edit gets the clone's root and says what it changed. It may be
        called again; one that is not a coroutine function runs in a thread
    :param trailers: that end each message; :data:`~pratique.git.pending.RUN` has to be among them with ``through``
    :param through: a branch of our own that gets the commits, on top of what waits there, instead of the target. It is
        left as it is when the edits add nothing to it
    :raises Conflict: names file and key; or what stands in the way on our own branch
    :raises TransientError: when the branch moved during each of :data:`ATTEMPTS` attempts
    :raises PratiqueError: as :func:`.checkout.checkout` and :meth:`Checkout.push`, and what the edits raise
    """
    found: frozenset[_Found] | None = None
    async with checkout(repository) as tree:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(_random.uniform(0, min(_LONGEST_PAUSE, _PAUSE * 2**attempt)))
                await tree.renew()
            pending = await take_along(tree, through, author) if through else None
            commits = [
                made for message, edit in edits if (made := await _commit(tree, message, edit, author, trailers))
            ]
            found = _undisputed(found, commits, repository)
            if not commits or await _push(tree, through, pending) is PushResult.PUSHED:
                return await _outcome(repository, tree, commits, through, pending)
    raise TransientError(
        "push the manifests",
        str(repository),
        f"Others pushed to the branch during each of {ATTEMPTS} attempts.",
        "Run it again when the branch is quieter.",
    )


#: File, field, and the value that an edit found there.
_Found: TypeAlias = tuple[str, str, str | None]


def _undisputed(found: frozenset[_Found] | None, commits: Iterable[Commit], at: Repository) -> frozenset[_Found]:
    """What the edits found the first time.

    :raises Conflict: when they now find something else
    """
    changes = [change for commit in commits for change in commit.changes]
    if found is None:
        return frozenset((change.file, change.field, change.before) for change in changes)
    for change in changes:
        if change.before is not None and (change.file, change.field, change.before) not in found:
            raise Conflict(
                "push the manifests",
                f"{at}, {change.file}: {change.field}",
                f"Somebody set it to {change.before!r} while this run was about to set it to {change.after!r}.",
                "See who did, and whether it is right. A new run overwrites what stands when it begins.",
            )
    return found


async def _push(tree: Checkout, through: str | None, pending: Pending | None) -> PushResult:
    return await (tree.push() if pending is None else tree.push(through, over=pending.tip))


async def _outcome(
    repository: Repository, tree: Checkout, commits: Sequence[Commit], through: str | None, pending: Pending | None
) -> Publication:
    head = await tree.head()
    if through and pending and (commits or pending.waiting):
        return Publication(repository.remote, through, head if commits else pending.tip, tuple(commits), waits=True)
    return Publication(repository.remote, repository.branch, head, tuple(commits))


async def applied(edit: Edit, root: Path) -> Sequence[Change]:
    """Let an edit change the files below a clone's root, in a thread unless it is a coroutine function."""
    outcome = await asyncio.to_thread(edit, root)
    return await outcome if inspect.isawaitable(outcome) else outcome


async def _commit(
    tree: Checkout, message: str, edit: Edit, author: CommitAuthor, trailers: Mapping[str, str] | None
) -> Commit | None:
    changes = await applied(edit, tree.root)
    sha = await tree.commit(message, author, trailers)
    return Commit(sha, message, tuple(changes)) if sha else None

"""Proposes other images to the manifests: a branch of the GitOps repository on which they name what passes.

A branch is named after what it proposes, so the same proposal is made once, and it is removed when nothing needs it any
more, unless somebody has committed to it. Nothing is merged here: that is for people, or the repository's own checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pratique.branches import branch_head, delete_branch
from pratique.gitops import Author, PushResult, checkout
from pratique.images import LIVE
from pratique.live.looks import Look
from pratique.manifests import LiveImage, point_images
from pratique.records.findings import Case, Cases, Condition

PREFIX = "pratique/live-"

#: By the repository's name below ``live/``.
Moves = Mapping[str, LiveImage]


def moves(cases: Sequence[Case], looks: Sequence[Look]) -> Moves:
    """For each repository whose bad image the manifests use, the newest image of it that passes, if there is one."""
    used = {look.image.key for look in looks if look.image.users}
    found: dict[str, LiveImage] = {}
    for case in cases:
        if case.condition is Condition.BAD and case.key in used:
            better = [
                look.image
                for look in looks
                if look.image.repository == case.repository and look.passes and look.image.tags
            ]
            newest = max(better, key=lambda one: (one.pushed is not None, one.pushed, one.digest), default=None)
            if newest is not None:
                found[case.repository.removeprefix(LIVE)] = LiveImage(newest.tags[-1], newest.digest)
    return found


def branch_name(wanted: Moves) -> str:
    """The branch of a proposal."""
    said = json.dumps(sorted((repository, image.tag, image.digest) for repository, image in wanted.items()))
    return PREFIX + hashlib.sha256(said.encode()).hexdigest()[:12]


async def propose(
    remote: str, branch: str, folder: str, registry: str, wanted: Moves, *, author: Author, token: str | None
) -> str | None:
    """Push a branch on which the manifests name these images; ``name@sha`` of it, or ``None`` if nothing would change.

    :param branch: from which it starts
    :raises PratiqueError: as :func:`pratique.gitops.checkout` and :func:`pratique.manifests.point_images`
    """
    name = branch_name(wanted)
    async with checkout(remote, branch, token=token) as tree:
        changes = point_images(tree.root, folder, registry, wanted, partial=True)
        listed = ", ".join(f"{repository}:{image.tag}" for repository, image in sorted(wanted.items()))
        sha = await tree.commit(f"Use images that pass: {listed}.", author) if changes else None
        if sha is None:
            return None
        if await tree.push(to=name) is PushResult.MOVED:  # an earlier run has made it, on an earlier commit
            sha = await branch_head(remote, name, token=token) or sha
    return f"{name}@{sha}"


async def withdraw(remote: str, proposal: str, *, token: str | None) -> bool:
    """Remove the branch of a proposal; ``False`` when somebody has committed to it, and it stays.

    :param proposal: ``name@sha``
    """
    name, _, sha = proposal.partition("@")
    return await delete_branch(remote, name, sha, token=token)


def proposed(cases: Cases, wanted: Moves, proposal: str | None, registry: str) -> Cases:
    """The cases of a registry with what is proposed for them now."""
    return Cases(
        tuple(
            replace(case, proposal=proposal or "")
            if case.condition is Condition.BAD and case.repository.removeprefix(LIVE) in wanted
            else replace(case, proposal="")
            if case.registry == registry
            else case
            for case in cases.cases
        )
    )

"""Proposes other images to the manifests: a branch of the GitOps repository on which they name what passes.

A branch is named after what it proposes, so the same proposal is made once, and it is removed when nothing needs it any
more, unless somebody has committed to it. Nothing is merged here: that is for people, or the repository's own checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pratique.git.branches import branch_head, delete_branch
from pratique.git.checkout import CommitAuthor, PushResult, Repository, checkout
from pratique.git.forges.pull_request import Forge, Proposal, PullRequest
from pratique.git.forges.pull_request import propose as open_request
from pratique.git.pending import RUN
from pratique.images import LIVE, LiveImage
from pratique.manifests.images import Pin, point_images
from pratique.markdown import table
from pratique.records.cases import Case, Cases, Condition
from pratique.rescan.assessment import ImageAssessment

PREFIX = "pratique/live-"

#: By the repository's name below ``live/``.
Moves = Mapping[str, LiveImage]


def moves(cases: Sequence[Case], assessments: Sequence[ImageAssessment]) -> Moves:
    """For each repository whose bad image the manifests use, the newest image of it that passes, if there is one."""
    used = {assessment.image.key for assessment in assessments if assessment.image.users}
    found: dict[str, LiveImage] = {}
    for case in cases:
        if case.condition is Condition.BAD and case.key in used:
            better = [
                assessment.image
                for assessment in assessments
                if assessment.image.repository == case.repository and assessment.passes and assessment.image.tags
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
    manifests: Repository, registry: str, wanted: Moves, *, author: CommitAuthor, pin: Pin, run: str
) -> str | None:
    """Push a branch on which the manifests name these images; ``name@sha`` of it, or ``None`` if nothing would change.

    :param manifests: the branch from which it starts
    :param run: id of the flow run, which the commit names
    :raises PratiqueError: as :func:`pratique.git.checkout.checkout` and :func:`pratique.manifests.images.point_images`
    """
    name = branch_name(wanted)
    async with checkout(manifests) as tree:
        changes = point_images(tree.root, manifests.folder, registry, wanted, pin=pin)
        message = f"Use images that pass: {_listed(wanted)}."
        sha = await tree.commit(message, author, {RUN: run}) if changes else None
        if sha is None:
            return None
        if await tree.push(name, over="") is PushResult.MOVED:  # an earlier run has made it, on an earlier commit
            sha = await branch_head(replace(manifests, branch=name)) or sha
    return f"{name}@{sha}"


async def request(forge: Forge, target: str, wanted: Moves) -> PullRequest:
    """The pull request for a proposal.

    :param target: branch that the manifests are on
    :raises PratiqueError: as :func:`pratique.git.forges.pull_request.propose`
    """
    rows = [(repository, image.tag, image.digest) for repository, image in sorted(wanted.items())]
    body = "\n".join(
        [
            "The manifests use images of `live/` that do not pass any more. These do, of the same repositories:",
            "",
            table(("image", "tag", "digest"), rows),
        ]
    )
    title = f"Images that pass: {_listed(wanted)}"
    return await open_request(forge, Proposal(branch_name(wanted), target, title, body))


async def withdraw(manifests: Repository, proposal: str) -> bool:
    """Remove the branch of a proposal; ``False`` when somebody has committed to it, and it stays.

    :param proposal: ``name@sha``
    """
    name, _, sha = proposal.partition("@")
    return await delete_branch(replace(manifests, branch=name), sha)


def _listed(wanted: Moves) -> str:
    return ", ".join(f"{repository}:{image.tag}" for repository, image in sorted(wanted.items()))


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

"""Proposes replacements for bad images: a branch of the GitOps repository on which the manifests use images that pass.

A branch is named after what it proposes, so the same proposal is made only once. It is removed when it is no longer
needed, unless somebody else has committed to it. Nothing is merged here: that is for people, or for the repository's
checks.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from pratique.errors import ConfigurationError, Conflict, NetworkDenied, NotFound
from pratique.git.branches import delete_branch
from pratique.git.checkout import Checkout, CommitAuthor, PushResult, Repository, checkout
from pratique.git.forges.pull_request import Forge, Proposal, PullRequest
from pratique.git.forges.pull_request import propose as propose_to_forge
from pratique.git.pending import RUN
from pratique.images import LIVE, ImageReference, ImportedImage, LiveImage
from pratique.manifests.images import Pin, point_images
from pratique.markdown import table
from pratique.oci.client import OciClient
from pratique.records.cases import REACTED_TO, Case, Cases
from pratique.release.contents import Place, look_at
from pratique.release.replica_wait import require_replicas
from pratique.replicas import Replication
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.inventory import LiveImageEntry

PREFIX = "pratique/live-"

#: Replacement images, by the repository's name below ``live/``.
Replacements = Mapping[str, LiveImage]


def find_replacements(
    cases: Sequence[Case], assessments: Sequence[ImageAssessment], several: Collection[str] = ()
) -> Replacements:
    """For each repository whose bad image the manifests use, the newest image of it that passes, if any.

    :param several: repositories below ``live/`` of which the catalogue has several versions. For these nothing is
        proposed: what passes may be another version than the manifests want, and a release writes what the catalogue
        says.
    """
    used = {assessment.image.key for assessment in assessments if assessment.image.users}
    replacements: dict[str, LiveImage] = {}
    for case in cases:
        if case.condition in REACTED_TO and case.key in used and below_live(case) not in several:
            better = [
                assessment.image
                for assessment in assessments
                if _place(assessment.image) == _place(case) and assessment.passes and assessment.image.tags
            ]
            newest = max(better, key=lambda image: (image.pushed is not None, image.pushed, image.digest), default=None)
            if newest is not None:
                replacements[below_live(case)] = LiveImage(newest.tags[-1], newest.digest)
    return replacements


def below_live(case: Case) -> str:
    """The repository's name below ``live/``."""
    return case.repository.removeprefix(LIVE)


def _place(image: Case | LiveImageEntry) -> tuple[str, str]:
    return image.registry, image.repository


def branch_name(replacements: Replacements, manifests: Repository) -> str:
    """The branch of a proposal. Clusters with folders in one repository have branches of their own."""
    images = sorted((repository, image.tag, image.digest) for repository, image in replacements.items())
    content = json.dumps([manifests.branch, manifests.folder, images])
    return PREFIX + hashlib.sha256(content.encode()).hexdigest()[:12]


async def propose(
    manifests: Repository,
    registry: str,
    replacements: Replacements,
    *,
    client: OciClient,
    author: CommitAuthor,
    pin: Pin,
    run: str,
    replication: Callable[[], Awaitable[Replication]] | None = None,
) -> str | None:
    """Push a branch on which the manifests name these images; ``name@sha`` of it, or ``None`` if nothing would change.

    :param manifests: the branch to start from
    :param client: sees before the push whether the images are in ``live/``
    :param run: id of the flow run, for the commit's trailer
    :param replication: finds the registry's replicas that have to serve the images, too
    :raises NotFound: when an image is not in ``live/``, with everything below its digest
    :raises NotReplicated: when a replica does not serve it
    :raises Conflict: when the branch exists with other content
    :raises ConfigurationError: when the manifests name tags only, and this worker cannot read the registry
    :raises PratiqueError: as :func:`pratique.git.checkout.checkout` and :func:`pratique.manifests.images.point_images`
    """
    name = branch_name(replacements, manifests)
    async with checkout(manifests) as tree:
        changes = point_images(tree.root, manifests.folder, registry, replacements, pin=pin)
        message = f"Use images that pass: {_listed(replacements)}."
        sha = await tree.commit(message, author, {change.file for change in changes}, {RUN: run})
        if sha is None:
            return None
        live = await _require_live(client, registry, replacements, pin)
        if replication is not None and live:
            await require_replicas(client, live, await replication())
        if await tree.push(name, over="") is PushResult.MOVED:  # an earlier run pushed it, or somebody else
            sha = await _same_content(tree, name)
    return f"{name}@{sha}"


async def _same_content(tree: Checkout, branch: str) -> str:
    """SHA of a remote branch's last commit, whose files are those of the clone's last commit.

    :raises Conflict: when they are others
    """
    attempted = "propose other images"
    fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "origin", f"refs/heads/{branch}")
    await tree.git.output(*fetch, cwd=tree.root, attempted=attempted)
    theirs, ours, sha = [
        (await tree.git.output("rev-parse", name, cwd=tree.root, attempted=attempted)).strip()
        for name in ("FETCH_HEAD^{tree}", "HEAD^{tree}", "FETCH_HEAD")
    ]
    if theirs != ours:
        raise Conflict(
            attempted,
            branch,
            "The repository has this branch already, with other files than this proposal's.",
            "Look at who pushed it. Delete it, and the next rescan proposes again.",
        )
    return sha


async def _require_live(client: OciClient, registry: str, replacements: Replacements, pin: Pin) -> list[ImportedImage]:
    """The images as they are in ``live/``; none when this worker cannot read the registry."""
    references = [
        ImageReference(registry, LIVE + repository, image.tag, image.digest)
        for repository, image in replacements.items()
    ]
    try:
        # Their manifests were judged; whether they are still there is looked at below.
        images = await asyncio.gather(*(client.resolve(reference, platforms=()) for reference in references))
    except NetworkDenied as error:
        if pin != "tag":
            return []
        raise ConfigurationError(
            "propose other images",
            ", ".join(map(str, references)),
            f"manifests.pin is tag, and the registry cannot be read to see what the tags name: {error.observed}",
            "Set manifests.pin to both or digest, or give the worker a private endpoint to the registry.",
        ) from None
    for look in await look_at(client, map(Place, references, images)):
        if not look.complete:
            raise NotFound(
                "propose other images",
                str(look.place.reference),
                f"live/ does not hold it as it was listed; the tag is {look.description}.",
                "Release the image again: the release restores what is missing.",
            )
    return [
        ImportedImage(image=image, reference=reference, outcome="already there", verified=True)
        for reference, image in zip(references, images, strict=True)
    ]


async def open_pull_request(forge: Forge, manifests: Repository, replacements: Replacements) -> PullRequest:
    """Open the pull request for a proposal, or find the open one.

    :param manifests: with the branch of the manifests
    :raises PratiqueError: as :func:`pratique.git.forges.pull_request.propose`
    """
    rows = [(repository, image.tag, image.digest) for repository, image in sorted(replacements.items())]
    body = "\n".join(
        [
            "The manifests use images of `live/` that no longer pass. These images of the same repositories pass:",
            "",
            table(("image", "tag", "digest"), rows),
        ]
    )
    title = f"Images that pass: {_listed(replacements)}"
    return await propose_to_forge(forge, Proposal(branch_name(replacements, manifests), manifests.branch, title, body))


async def withdraw(manifests: Repository, proposal: str) -> bool:
    """Remove the branch of a proposal; ``False`` when somebody else has committed to it, and it is kept.

    :param proposal: ``name@sha``
    """
    name, _, sha = proposal.partition("@")
    return await delete_branch(replace(manifests, branch=name), sha)


def _listed(replacements: Replacements) -> str:
    return ", ".join(f"{repository}:{image.tag}" for repository, image in sorted(replacements.items()))


def with_proposal(cases: Cases, replacements: Replacements, proposal: str | None, registry: str, cluster: str) -> Cases:
    """The cases with a cluster's current proposal: bad cases that it replaces have it, the registry's others have none.

    :param cluster: its key. Proposals in the repositories of other clusters stay as they are
    """
    return Cases(
        tuple(
            replace(case, proposals=_proposals(case, replacements, proposal, cluster))
            if case.registry == registry
            else case
            for case in cases.cases
        )
    )


def _proposals(case: Case, replacements: Replacements, proposal: str | None, cluster: str) -> dict[str, str]:
    others = {other: known for other, known in case.proposals.items() if other not in ("", cluster)}
    replaced = case.condition in REACTED_TO and below_live(case) in replacements
    return others | ({cluster: proposal} if replaced and proposal else {})

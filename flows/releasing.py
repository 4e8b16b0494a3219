"""The way of a release through quarantine and gate, as flows put it together from tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from flows.asking import ask
from flows.settling import settled
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Gate, Image, Manifests, Release
from pratique.errors import PratiqueError
from pratique.gate.approval_request import Question
from pratique.gate.wait import GateReport
from pratique.release.promotion import ImportedImage
from tasks.events import telling_of_a_block
from tasks.gate import give_verdict, scan_gate
from tasks.images import promote_image, quarantine_image, resolve_image
from tasks.progress import Progress
from tasks.records import record_promotions
from tasks.runtime import current

Deployed = asyncio.Future[Infrastructure]


@dataclass(frozen=True)
class Released:
    """A release, as far as it came.

    :ivar images: in quarantine, or once it is promoted in ``live/``
    """

    release: Release
    report: GateReport
    images: list[ImportedImage]
    promoted: bool = False


async def advance(release: Release, gate: Gate, deployed: Deployed) -> Released:
    """Quarantine, judge and promote a release, unless its gate has to ask a person first.

    Images of one release pass together or not at all; releases do not wait for one another.

    :raises GateBlocked: when the gate says no
    """
    bar = await Progress.begin(f"imports-{release.name}", f"Imports of release {release.name}", len(release.images))
    quarantined = await settled(*[bar.of(_quarantine(image, deployed)) for image in release.images])
    infrastructure = await deployed
    report = await scan_gate(release, quarantined, infrastructure, gate)
    released = Released(release, report, quarantined)
    return released if report.asking and not report.blocked else await _promote(released, infrastructure)


async def after_asking(released: Sequence[Released], gate: Gate, deployed: Deployed) -> list[Released]:
    """Ask a person about the releases that need one, and promote what is let in.

    Called when nothing else of the run is under way: a deployed run ends here, and begins again with the answer.

    :raises GateBlocked: when the answer is no, or does not come in time
    """
    answered = [one if one.promoted else await _answered(one, gate) for one in released]
    infrastructure = await deployed
    return await settled(*[_promoted(one, infrastructure) for one in answered])


@asynccontextmanager
async def recording(target: Manifests) -> AsyncIterator[None]:
    """What is promoted in here gets on record, also when something else fails."""
    promoted = current().promoted
    try:
        yield
    except Exception:
        with suppress(PratiqueError):  # its task run tells; the failure that matters is the first one
            if promoted:
                await record_promotions(target, promoted)
        raise
    await record_promotions(target, promoted)


async def _quarantine(image: Image, deployed: Deployed) -> ImportedImage:
    resolved = await resolve_image(image)
    return await quarantine_image(image, resolved, await deployed)


async def _answered(released: Released, gate: Gate) -> Released:
    with telling_of_a_block(released.release.name):
        answer = await ask(Question.about(released.report), hours=gate.answer_hours, cluster=current().cluster)
    return replace(released, report=released.report.answered(answer))


async def _promoted(released: Released, infrastructure: Infrastructure) -> Released:
    return released if released.promoted else await _promote(released, infrastructure)


async def _promote(released: Released, infrastructure: Infrastructure) -> Released:
    verdict = await give_verdict(released.report)
    name, images = released.release.name, released.release.images
    bar = await Progress.begin(f"promotions-{name}", f"Promotions of release {name}", len(images))
    promoted = await settled(
        *[
            bar.of(_to_live(image, moved, infrastructure, verdict))
            for image, moved in zip(images, released.images, strict=True)
        ]
    )
    return replace(released, report=verdict, images=promoted, promoted=True)


async def _to_live(
    image: Image, quarantined: ImportedImage, infrastructure: Infrastructure, verdict: GateReport
) -> ImportedImage:
    moved = await promote_image(image, quarantined, infrastructure, verdict)
    current().promoted.append((verdict.rules.policy.digest, moved))
    return moved

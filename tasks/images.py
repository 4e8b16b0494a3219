"""The way of an image: resolved upstream, quarantined, judged, promoted."""

from __future__ import annotations

from prefect import get_run_logger, task

from pratique import promotion
from pratique.config import Gate, Image, Release
from pratique.gate import GateReport, assess, require_passed
from pratique.images import ResolvedImage
from pratique.infrastructure import Infrastructure
from pratique.oci.notation import TrustStore
from pratique.promotion import Moved, Unresolved
from pratique.sources import ArtifactProof, ResourceGraphFindings
from tasks.gate_board import GateBoard
from tasks.policies import ALWAYS, REMEMBERED
from tasks.runtime import current


@task(name="resolve image", task_run_name="resolve {image.reference.short}", **REMEMBERED)
async def resolve_image(image: Image) -> ResolvedImage | Unresolved:
    """The digest that upstream names now: the one digest of this run."""
    resolved = await promotion.resolve(current().oci, image.reference)
    if isinstance(resolved, Unresolved):
        get_run_logger().warning(
            "No way to %s from here (%s): importing by tag", image.reference.registry, resolved.reason
        )
    else:
        get_run_logger().info("%s is %s", image.reference, resolved.digest)
    return resolved


@task(name="quarantine image", task_run_name="quarantine {image.reference.short}", **REMEMBERED)
async def quarantine_image(image: Image, resolved: ResolvedImage | Unresolved, infrastructure: Infrastructure) -> Moved:
    """Import the digest into quarantine/."""
    now = current()
    async with now.imports:
        moved = await promotion.quarantine(now.session, now.oci, infrastructure.quarantine, resolved, now.credentials)
    get_run_logger().info("%s: %s", moved.reference, moved.outcome)
    return moved


@task(name="scan gate", task_run_name="gate {release.name}", **ALWAYS)
async def scan_gate(release: Release, images: list[Moved], infrastructure: Infrastructure, gate: Gate) -> GateReport:
    """Wait for Defender's word on every image of the release; raises unless all may pass."""
    now = current()
    trust = None if gate.unsafe_accept_unsigned_artifacts else TrustStore.load(list(gate.trust_store))
    if trust is None:
        get_run_logger().warning("UNSAFE: unsigned findings artifacts are believed; anybody who may push can forge one")

    board = GateBoard(release.name)
    report = await assess(
        release,
        [moved.image for moved in images],
        infrastructure.quarantine.login_server,
        gate,
        findings=ResourceGraphFindings(now.session),
        proof=ArtifactProof(now.oci, trust),
        progress=board.show,
    )
    require_passed(report)
    return report


@task(name="promote image", task_run_name="promote {image.reference.short}", **REMEMBERED)
async def promote_image(
    image: Image, quarantined: Moved, infrastructure: Infrastructure, verdicts: GateReport
) -> Moved:
    """Import the judged digest into live/."""
    now = current()
    verdicts.require(quarantined.image)
    async with now.imports:
        moved = await promotion.promote(
            now.session, now.oci, quarantined, infrastructure.quarantine, infrastructure.registry
        )
    get_run_logger().info("%s: %s", moved.reference, moved.outcome)
    return moved

"""The audit of ``live/`` as a task."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact

from pratique.audit.provenance import AuditReport, Irregularity, IrregularityKind
from pratique.audit.registry_log import explain_live
from pratique.azure.registries import Registry
from pratique.images import ImageReference
from pratique.records.promotions import Promotions
from tasks.events import tell
from tasks.policies import ALWAYS
from tasks.runtime import current

_TOLD = 100  # irregularities that are events of their own; the report has all


@task(name="audit live", task_run_name="audit live/ of {registry.name}", **ALWAYS)
async def audit_live_images(
    registry: Registry, images: Sequence[ImageReference], promotions: Promotions
) -> AuditReport:
    """Explain why each image stands in live/, and name what came past the quarantine.

    The caller decides what a report that is not clean means for the run.
    """
    now = current()
    report = await explain_live(now.session, registry, images, promotions, at=now.clock.now())
    log = get_run_logger()
    for one in report.alarming[:_TOLD]:
        log.warning("%s", one)
        _tell(one)
    log.info(
        "%d images in live/: %d recorded, %d logged, %d to look at",
        report.images,
        report.recorded,
        report.logged,
        len(report.alarming),
    )
    await acreate_markdown_artifact(report.markdown(), key="live-audit", description="Why each image is in live/")
    return report


def _tell(one: Irregularity) -> None:
    about, digest = f"image.{one.reference.short}", one.reference.digest or ""
    if one.event is None:
        tell("image.unexplained", about, reference=str(one.reference), digest=digest)
        return
    event = one.event
    tell(
        "image.ungated" if one.kind is IrregularityKind.UNGATED else "image.bypassed",
        about,
        reference=str(one.reference),
        digest=digest,
        way=event.way,
        source=event.source,
        identity=event.identity,
        address=event.address,
        time=event.last.isoformat(timespec="seconds"),
    )

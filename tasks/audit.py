"""Auditing the images in ``live/``."""

from __future__ import annotations

from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact

from pratique.audit.provenance import AuditReport, Irregularity, IrregularityKind
from pratique.audit.registry_log import explain_live
from pratique.cluster.infrastructure import Infrastructure
from pratique.images import ImageReference
from pratique.records.promotions import Promotions
from tasks.events import emit
from tasks.policies import UNCACHED
from tasks.runtime import current
from tasks.step import step

_MOST_EVENTS = 100  # irregularities with an event each; the report lists all


@step(name="audit live", run_name="audit live/ of {infrastructure.registry.name}", unlinked=("images",), **UNCACHED)
async def audit_live_images(
    infrastructure: Infrastructure,
    images: list[ImageReference],
    promotions: Promotions,
    promoters: frozenset[str] = frozenset(),
) -> AuditReport:
    """Find out why each image is in live/, and report the images that bypassed the quarantine.

    Promoters are the identities of all clusters that use the registry. The caller decides what a report that is not
    clean means for the run.
    """
    runtime, log = current(), get_run_logger()
    report = await explain_live(
        runtime.session,
        infrastructure.registry,
        images,
        promotions,
        quarantine=infrastructure.quarantine,
        promoters=promoters,
        at=runtime.clock.now(),
    )
    for irregularity in report.needing_attention[:_MOST_EVENTS]:
        log.warning("%s", irregularity)
        _emit(irregularity)
    log.info(
        "%d images in live/: %d recorded, %d logged, %d by break glass, %d need attention",
        report.images,
        report.recorded,
        report.logged,
        len({image for image, _ in report.break_glass}),
        len(report.needing_attention),
    )
    await acreate_markdown_artifact(report.markdown(), key="live-audit", description="Why each image is in live/")
    return report


def _emit(irregularity: Irregularity) -> None:
    reference, event = irregularity.reference, irregularity.event
    about, digest = f"image.{reference.short}", reference.digest or ""
    if event is None:
        emit("image.unexplained", about, reference=str(reference), digest=digest)
        return
    emit(
        "image.ungated" if irregularity.kind is IrregularityKind.UNGATED else "image.bypassed",
        about,
        reference=str(reference),
        digest=digest,
        way=event.operation,
        source=event.source,
        identity=event.identity,
        address=event.address,
        time=event.last.isoformat(timespec="seconds"),
    )

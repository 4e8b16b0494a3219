"""The drill: bypass the quarantine on purpose, wait for the alert, then clean up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact

from pratique.audit.drill import alert, diagnosis, seal, staging
from pratique.audit.drill.alert import AlertResult, AlertSetup
from pratique.audit.drill.report import FILE, DrillReport, final_report, merge_entry
from pratique.audit.drill.seal import SealAttempt
from pratique.audit.drill.staging import StagedImage
from pratique.azure.registries import Registry
from pratique.cancellation import run_to_completion
from pratique.config import Drill, Seal
from tasks.events import emit
from tasks.policies import UNCACHED
from tasks.runtime import current, run_id
from tasks.step import step

#: Seconds that a cancelled drill waits for its import; the removal must follow before Prefect kills it after thirty.
_IMPORT_PATIENCE = 14.0


@step(name="read alert setup", run_name="read the alert setup of {registry.name}", **UNCACHED)
async def read_alert_setup(registry: Registry, drill: Drill) -> AlertSetup:
    """Read the alert rule, the diagnostic settings that feed it, and the action groups that it notifies."""
    setup = await alert.read_alert_setup(current().session, registry, drill.rule)
    await alert.require_readable(current().session, registry, setup)
    for defect in diagnosis.defects(setup):
        get_run_logger().error("%s", defect)
    return setup


@step(name="begin drill", run_name="begin drill of {registry.name}", **UNCACHED)
async def begin_drill(registry: Registry, drill: Drill, leftovers: list[str]) -> DrillReport:
    """Record that a drill begins, before any image of it exists."""
    at, caller = datetime.now(UTC), await current().session.caller()
    begun = DrillReport(
        run=run_id(),
        registry=registry.login_server,
        by=f"{caller.name} ({caller.object_id})",
        began=at,
        ended=at,
        outcome="begun",
        rule=drill.rule,
        leftovers=tuple(leftovers),
    )
    await _record(begun)
    emit("drill.begun", registry=registry.login_server, repositories=list(staging.REPOSITORIES))
    return begun


@step(name="import past quarantine", run_name="import {drill.source} past quarantine", **UNCACHED)
async def import_past_quarantine(registry: Registry, drill: Drill) -> StagedImage:
    """Import an image straight into live/. Wait for it even if cancelled, because Azure completes an import anyway."""
    runtime, source = current(), drill.image
    account = runtime.credentials.get(source.registry)
    return await run_to_completion(
        lambda: staging.stage_import(runtime.session, registry, source, account), patience=_IMPORT_PATIENCE
    )


@step(name="push past quarantine", run_name="push past quarantine to {registry.name}", **UNCACHED)
async def push_past_quarantine(registry: Registry) -> StagedImage:
    """Push an image straight into live/."""
    return await staging.stage_push(current().oci, registry)


@step(name="wait for alert", run_name="wait for the alert of {registry.name}", **UNCACHED)
async def wait_for_alert(registry: Registry, setup: AlertSetup, staged: list[StagedImage], drill: Drill) -> AlertResult:
    """Wait until the alert has fired for every staged image, or until its deadline."""
    since = min(image.began for image in staged)
    result = await alert.wait_for_alert(current().session, registry, setup, staged, drill, since=since)
    if result.alert is not None:
        get_run_logger().info("The alert fired: %s", result.alert.id)
    return result


@step(name="prove seal", run_name="prove the seal of {registry.name}", **UNCACHED)
async def prove_seal(registry: Registry, staged: list[StagedImage]) -> list[SealAttempt]:
    """Lock the imported image, and try to overwrite and to delete it. Azure completes an import even if cancelled."""
    runtime = current()
    attempts = await run_to_completion(
        lambda: seal.prove_seal(runtime.session, runtime.oci, registry, staged), patience=_IMPORT_PATIENCE
    )
    for attempt in attempts:
        get_run_logger().info("%s: %s %s", attempt.what, attempt.outcome, attempt.observed)
    return attempts


@step(name="clear leftovers", run_name="clear leftovers in {registry.name}", **UNCACHED)
async def clear_leftovers(registry: Registry) -> list[str]:
    """Remove images that an earlier drill has left. A drill that cannot remove images must not begin."""
    removed = await staging.remove_images(current().oci, registry)
    for repository in removed:
        get_run_logger().warning("Removed %s, which an earlier drill had left", repository)
    return removed


async def remove_drill(registry: Registry) -> list[str]:
    """Remove every image of the drill and read back that it is gone, even if the run is cancelled meanwhile.

    :raises DrillNotRemoved: when an image may still be there
    """
    return await run_to_completion(lambda: _remove(registry))


@step(name="remove drill's images", run_name="remove drill's images from {registry.name}", **UNCACHED)
async def _remove(registry: Registry) -> list[str]:
    """Remove every image of the drill, and read back that it is gone."""
    removed = await staging.clean_up(current().oci, registry)
    get_run_logger().info("Removed from live/: %s", ", ".join(removed) or "nothing")
    return removed


@step(name="conclude drill", run_name="conclude drill of {registry.name}", **UNCACHED)
async def conclude_drill(
    registry: Registry,
    drill: Drill,
    begun: DrillReport,
    setup: AlertSetup,
    staged: list[StagedImage],
    result: AlertResult | None,
    attempts: list[SealAttempt],
    settings: Seal,
    removed: list[str],
) -> DrillReport:
    """Find out why the alert did not fire, if it did not, and record the drill.

    The attempts are those on the locked image; none when the seal is off.
    """
    found = diagnosis.defects(setup)
    if result is not None:
        setup = await alert.read_alert_setup(current().session, registry, drill.rule)
        found = diagnosis.diagnose(setup, staged, result)
    report = final_report(
        begun,
        setup,
        staged,
        result,
        found,
        seal=attempts,
        seal_defects=seal.seal_defects(attempts, settings),
        removed=removed,
        ended=datetime.now(UTC),
    )
    await asyncio.gather(
        _record(report),
        acreate_markdown_artifact(report.markdown(), key="quarantine-drill", description="Whether the alert fired"),
    )
    if report.outcome == "passed":
        emit("drill.passed", registry=report.registry, rule=report.rule, delay=f"{report.delay:.0f} s")
    else:
        reasons = [str(defect) for defect in (*report.defects, *report.seal_defects)]
        emit("drill.failed", registry=report.registry, rule=report.rule, reasons=reasons)
    return report


async def _record(report: DrillReport) -> None:
    branch, message = await current().records(), f"Record a drill of the quarantine: {report.outcome}."
    await branch.write({FILE: lambda text: merge_entry(text, report)}, message, run=report.run)

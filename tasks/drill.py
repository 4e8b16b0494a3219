"""The drill: past the quarantine on purpose, an ear for the alarm, and everything away again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact

from pratique.audit.drill import alert, diagnosis, staging
from pratique.audit.drill.alert import Alarm, AlertResult
from pratique.audit.drill.report import FILE, DrillReport, concluded, including
from pratique.audit.drill.staging import Staged
from pratique.azure.registries import Registry
from pratique.cancellation import run_to_completion
from pratique.config import Drill
from tasks.events import tell
from tasks.policies import ALWAYS
from tasks.runtime import current, run_id

#: Seconds that a cancelled drill waits for its import; the removal has to follow before Prefect kills, after thirty.
_IMPORT_PATIENCE = 14.0


@task(name="look at alarm", task_run_name="look at the alarm of {registry.name}", **ALWAYS)
async def look_at_alarm(registry: Registry, drill: Drill) -> Alarm:
    """Read the rule, what feeds it, and who is told."""
    found = await alert.look(current().session, registry, drill.rule)
    await alert.require_ears(current().session, registry, found)
    for defect in diagnosis.defects(found):
        get_run_logger().error("%s", defect)
    return found


@task(name="begin drill", task_run_name="begin drill of {registry.name}", **ALWAYS)
async def begin_drill(registry: Registry, drill: Drill, leftovers: Sequence[str]) -> DrillReport:
    """Put on record that a drill begins, before there is anything of it."""
    now, caller = datetime.now(UTC), await current().session.caller()
    by = f"{caller.name} ({caller.object_id})"
    begun = DrillReport(run_id(), registry.login_server, by, now, now, "begun", drill.rule, leftovers=tuple(leftovers))
    await _write(begun)
    tell("drill.begun", registry=registry.login_server, repositories=list(staging.REPOSITORIES))
    return begun


@task(name="import past quarantine", task_run_name="import {drill.source} past quarantine", **ALWAYS)
async def import_past_quarantine(registry: Registry, drill: Drill) -> Staged:
    """Import an image straight into live/. Azure finishes an import that nobody waits for, so it is waited for."""
    now, source = current(), drill.image
    account = now.credentials.get(source.registry)
    return await run_to_completion(
        lambda: staging.stage_import(now.session, registry, source, account), patience=_IMPORT_PATIENCE
    )


@task(name="push past quarantine", task_run_name="push past quarantine to {registry.name}", **ALWAYS)
async def push_past_quarantine(registry: Registry) -> Staged:
    """Push an image straight into live/."""
    return await staging.stage_push(current().oci, registry)


@task(name="listen for alarm", task_run_name="listen for the alarm of {registry.name}", **ALWAYS)
async def listen_for_alarm(registry: Registry, found: Alarm, staged: Sequence[Staged], drill: Drill) -> AlertResult:
    """Wait until the alarm has rung for everything, or its time is over."""
    began = min(one.began for one in staged)
    heard = await alert.listen(current().session, registry, found, staged, drill, since=began)
    if heard.alert is not None:
        get_run_logger().info("The alarm rang: %s", heard.alert.id)
    return heard


@task(name="clear the way", task_run_name="clear the way in {registry.name}", **ALWAYS)
async def clear_the_way(registry: Registry) -> list[str]:
    """Remove what an earlier drill has left: who cannot does not begin."""
    removed = await staging.remove_images(current().oci, registry)
    for repository in removed:
        get_run_logger().warning("An earlier drill had left %s", repository)
    return removed


async def remove_drill(registry: Registry) -> list[str]:
    """Take everything away again, and read back that it is gone, even when the run is cancelled meanwhile.

    :raises DrillNotRemoved: when something may still stand
    """
    return await run_to_completion(lambda: _remove(registry))


@task(name="remove drill's images", task_run_name="remove drill's images from {registry.name}", **ALWAYS)
async def _remove(registry: Registry) -> list[str]:
    """Take everything away again, and read back that it is gone."""
    removed = await staging.take_back(current().oci, registry)
    get_run_logger().info("Gone from live/: %s", ", ".join(removed) or "nothing was there")
    return removed


@task(name="conclude drill", task_run_name="conclude drill of {registry.name}", **ALWAYS)
async def conclude_drill(
    registry: Registry,
    drill: Drill,
    begun: DrillReport,
    found: Alarm,
    staged: Sequence[Staged],
    heard: AlertResult | None,
    removed: Sequence[str],
) -> DrillReport:
    """Find the reason where the alarm did not ring, and leave the record."""
    wrong = diagnosis.defects(found)
    if heard is not None:
        found = await alert.look(current().session, registry, drill.rule)
        wrong = diagnosis.reasons(found, staged, heard)
    report = concluded(begun, found, staged, heard, wrong, removed=removed, ended=datetime.now(UTC))
    await asyncio.gather(
        _write(report),
        acreate_markdown_artifact(report.markdown(), key="quarantine-drill", description="Whether the alarm rang"),
    )
    if report.outcome == "passed":
        tell("drill.passed", registry=report.registry, rule=report.rule, delay=f"{report.delay:.0f} s")
    else:
        reasons = [str(defect) for defect in report.defects]
        tell("drill.failed", registry=report.registry, rule=report.rule, reasons=reasons)
    return report


async def _write(report: DrillReport) -> None:
    branch, message = await current().records(), f"Record a drill of the quarantine: {report.outcome}."
    await branch.write({FILE: lambda text: including(text, report)}, message, run=report.run)

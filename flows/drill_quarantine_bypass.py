"""Goes past the quarantine on purpose, to hear whether the alarm rings."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.hooks import remove_drill_of_run
from flows.settling import settled
from pratique.audit.drill.alert import AlertResult
from pratique.audit.drill.diagnosis import defects
from pratique.audit.drill.report import DrillReport
from pratique.audit.drill.staging import Staged, check_names
from pratique.config import Bootstrap
from tasks.drill import (
    begin_drill,
    clear_the_way,
    conclude_drill,
    import_past_quarantine,
    listen_for_alarm,
    look_at_alarm,
    push_past_quarantine,
    remove_drill,
)
from tasks.infrastructure import find_infrastructure
from tasks.runtime import azure_runtime
from tasks.states import ended

CONFIRMATION = "bypass the quarantine"


@flow(
    name="drill_quarantine_bypass",
    flow_run_name="drill {config.cluster.resource_group}",
    on_failure=[remove_drill_of_run],
    on_cancellation=[remove_drill_of_run],
    on_crashed=[remove_drill_of_run],
)
async def drill_quarantine_bypass(
    config: Bootstrap, confirm: Annotated[str, Field(pattern=f"^{CONFIRMATION}$")]
) -> DrillReport:
    """Import, and push, a harmless image straight into live/, wait for the alert, and remove the image again.

    Fails when the alert does not fire in its time, or nobody would be told of it, and says why. Safe beside any other
    run: its images have repositories of their own, below live/quarantine-drill/.

    Args:
        config: The same configuration that prepare_cluster runs with.
        confirm: Type "bypass the quarantine": for some minutes live/ holds an image that nobody has judged, and people
            may be called.
    """
    return await ended(_drill(config))


async def _drill(config: Bootstrap) -> DrillReport:
    check_names([image.reference.repository for image in config.catalogue.images])
    async with azure_runtime(config):
        registry = (await find_infrastructure(config.cluster)).registry
        leftovers = await clear_the_way(registry)
        alarm = await look_at_alarm(registry, config.drill)
        begun = await begin_drill(registry, config.drill, leftovers)
        staged: list[Staged] = []
        heard: AlertResult | None = None
        removed: list[str] = []
        try:
            if not defects(alarm):
                ways = [import_past_quarantine(registry, config.drill)]
                ways += [push_past_quarantine(registry)] if config.drill.push else []
                staged = await settled(*ways)
                heard = await listen_for_alarm(registry, alarm, staged, config.drill)
        finally:
            removed = await remove_drill(registry)
        report = await conclude_drill(registry, config.drill, begun, alarm, staged, heard, removed)
        report.require()
        return report

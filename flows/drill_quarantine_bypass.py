"""Bypasses the quarantine on purpose, to prove that the alert fires."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.hooks import remove_drill_of_run
from pratique.audit.drill.alert import AlertResult
from pratique.audit.drill.diagnosis import defects
from pratique.audit.drill.report import DrillReport
from pratique.audit.drill.seal import SealAttempt
from pratique.audit.drill.staging import StagedImage, check_names
from pratique.branches import results, run_branches
from pratique.config import Bootstrap, ConfigParameter
from pratique.config.drill import CONFIRMATION
from tasks.configuration import configuration
from tasks.drill import (
    begin_drill,
    clear_leftovers,
    conclude_drill,
    import_past_quarantine,
    prove_seal,
    push_past_quarantine,
    read_alert_setup,
    remove_drill,
    wait_for_alert,
)
from tasks.infrastructure import find_live_registry
from tasks.runtime import azure_runtime
from tasks.step import named_states


@flow(
    name="drill_quarantine_bypass",
    flow_run_name="drill {config.title}",
    on_failure=[remove_drill_of_run],
    on_cancellation=[remove_drill_of_run],
    on_crashed=[remove_drill_of_run],
)
@named_states()
async def drill_quarantine_bypass(
    config: ConfigParameter, confirm: Annotated[str, Field(pattern=f"^{CONFIRMATION}$")]
) -> DrillReport:
    """Import and push a harmless image straight into live/, wait for the alert, and remove the image.

    Fails, with the reason, when the alert does not fire in time or would notify nobody. With registries.seal, it also
    locks the imported image, and fails when the lock does not refuse an overwrite or a deletion. It is safe to run at
    the same time as any other run, as its images are in separate repositories below live/quarantine-drill/.

    Args:
        config: The configuration of prepare_cluster, or its place in Git.
        confirm: Type "bypass the quarantine". For some minutes live/ contains an image without a verdict of the gate,
            and the alert may call people.
    """
    async with configuration(config) as read:
        return await _drill(read)


async def _drill(config: Bootstrap) -> DrillReport:
    check_names([image.location.repository for image in config.catalogue.images])
    seal = config.registries.seal
    async with azure_runtime(config, identity="drill"):
        registry = await find_live_registry(config.cluster, config.registries)
        leftovers = await clear_leftovers(registry)
        setup = await read_alert_setup(registry, config.drill)
        started = await begin_drill(registry, config.drill, leftovers)
        staged: list[StagedImage] = []
        result: AlertResult | None = None
        attempts: list[SealAttempt] = []
        removed: list[str] = []
        try:
            if not defects(setup):
                async with run_branches() as start:
                    bypasses = [start(import_past_quarantine(registry, config.drill))]
                    bypasses += [start(push_past_quarantine(registry))] if config.drill.push else []
                staged = results(bypasses)
                async with run_branches() as start:
                    waiting = start(wait_for_alert(registry, setup, staged, config.drill))
                    proofs = [start(prove_seal(registry, staged))] if seal.enabled else []
                result, attempts = waiting.result(), [attempt for proof in proofs for attempt in proof.result()]
        finally:
            removed = await remove_drill(registry)
        report = await conclude_drill(registry, config.drill, started, setup, staged, result, attempts, seal, removed)
        report.require_passed()
        return report

"""The seal of ``live/``: what is there, what is locked and unlocked, and the report."""

from __future__ import annotations

import json
from collections.abc import Iterable

from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact

from pratique.azure.registries import Registry
from pratique.config import Bootstrap, Seal
from pratique.oci.locks import Part
from pratique.records.seals import SealAction
from pratique.seal import report
from pratique.seal.locking import Sealer, SealOutcome
from pratique.seal.survey import Survey, Surveyor
from tasks.events import Event, emit
from tasks.policies import UNCACHED
from tasks.runtime import current, run_id
from tasks.secrets import read_secret
from tasks.step import NOTHING_TO_DO, step

_MOST_EVENTS = 100  # of each kind; the report lists all


@step(name="survey live", run_name="survey live/ of {registry.name}", unlinked=("config",), **UNCACHED)
async def survey_live(config: Bootstrap, registry: Registry) -> Survey:
    """Read what is in live/, what of it is locked and on record, and what the clusters need."""
    runtime, log = current(), get_run_logger()
    surveyor = Surveyor(
        config=config,
        cluster=runtime.cluster_key,
        client=runtime.oci,
        records=await runtime.records(),
        manifests=await runtime.repository(),
        read=read_secret,
    )
    survey = await surveyor.take(registry.login_server)
    for note in survey.notes:
        log.warning(note)
    for tag in survey.recorded.moved:
        log.error("%s", tag)
    log.info("%d images in live/ on record", len(survey.recorded.images))
    return survey


@step(
    name="seal live",
    run_name="seal live/ of {survey.registry}",
    outcome=lambda outcome: None if outcome.changed else NOTHING_TO_DO,
    **UNCACHED,
)
async def seal_images(seal: Seal, survey: Survey) -> SealOutcome:
    """Lock what is on record, and unlock what nothing has needed for long enough."""
    runtime = current()
    caller = await runtime.session.caller()
    action = SealAction(runtime.clock.now(), f"{caller.name} ({caller.object_id})", run_id())
    sealer = Sealer(
        client=runtime.oci, records=await runtime.records(), clock=runtime.clock, days=seal.unlock_after_days
    )
    outcome = await sealer.seal(survey, action)
    _emit("live.sealed", outcome.locked)
    _emit("live.seal-undone", sorted(outcome.plan.undone))
    _emit("live.unsealed", outcome.unlocked)
    _emit("live.seal-failed", (each.part for each in outcome.failed))
    return outcome


@step(name="conclude seal", run_name="conclude the seal of {outcome.survey.registry}", **UNCACHED)
async def conclude_seal(seal: Seal, outcome: SealOutcome) -> SealOutcome:
    """Publish the report.

    :raises LiveImagesNotSealed: when something could not be locked or unlocked, or a tag was moved
    """
    text = report.markdown(outcome, seal.unlock_after_days)
    await acreate_markdown_artifact(text, key="live-seal", description="What is locked in live/")
    recorded = f"```json\n{json.dumps(report.record(outcome), indent=1)}\n```"
    await acreate_markdown_artifact(recorded, key="live-seal-record", description="The run's full record, as JSON")
    report.require_sealed(outcome)
    return outcome


def _emit(event: Event, parts: Iterable[Part]) -> None:
    """Log tags and manifests, and emit an event for each, up to a limit."""
    log, found = get_run_logger(), list(parts)
    for part in found[:_MOST_EVENTS]:
        log.info("%s: %s", event, part)
        emit(event, f"image.{part}", reference=str(part))
    if (more := len(found) - _MOST_EVENTS) > 0:
        log.info("%s: and %d more, in the report", event, more)

"""The rescan of ``live/``: its inventory, today's assessments, and the reactions to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap
from pratique.evidence.registry_policy import registry_policy
from pratique.records.registry_policy import PolicyRecord
from pratique.rescan import report
from pratique.rescan.assessment import ImageAssessment, assess_images
from pratique.rescan.cases import CaseChange, ChangeKind
from pratique.rescan.inventory import Inventory
from pratique.rescan.listing import Listing
from pratique.rescan.reactions import Reactions, record_cases
from pratique.rescan.record import record
from pratique.rescan.report import Rescan
from tasks.events import Event, emit
from tasks.policies import UNCACHED
from tasks.replication import replication_of
from tasks.runtime import current, run_id
from tasks.secrets import read_secret, read_text_secret
from tasks.step import step

#: Changes of each kind for which an event is emitted; the report has all.
_MOST_EVENTS = 100
_EVENTS: dict[ChangeKind, Event] = {
    "newly bad": "live.newly-bad",
    "overdue": "live.overdue",
    "cured": "live.cured",
    "held": "live.held",
    "lifted": "live.lifted",
    "pulls blocked": "live.pulls-blocked",
    "pulls allowed": "live.pulls-allowed",
    "proposed": "live.proposed",
    "break glass overdue": "live.break-glass-overdue",
    "break glass assessed": "live.break-glass-assessed",
}


@step(name="list live", run_name="list live/ of {infrastructure.registry.name}", **UNCACHED)
async def list_live(config: Bootstrap, infrastructure: Infrastructure) -> Inventory:
    """List the images in live/, where they came from, and which manifests of which clusters use them."""
    runtime, registry = current(), infrastructure.registry.login_server
    listing = Listing(
        config=config,
        cluster=runtime.cluster_key,
        client=runtime.oci,
        records=await runtime.records(),
        manifests=await runtime.repository(),
        read=read_secret,
    )
    at = runtime.clock.now()
    policy = PolicyRecord.of(registry, registry_policy(config, at), cluster=runtime.cluster_key, at=at, run=run_id())
    inventory = await listing.take(policy)
    log = get_run_logger()
    for note in inventory.notes:
        log.warning(note)
    used = sum(image.used for image in inventory.images)
    log.info("%d images in live/, %d of them used", len(inventory.images), used)
    return inventory


@step(name="judge live", run_name="judge live/ of {inventory.registry}", **UNCACHED)
async def assess_live(config: Bootstrap, inventory: Inventory) -> tuple[ImageAssessment, ...]:
    """Assess every image under today's policy, exceptions and findings."""
    log, setup = get_run_logger(), await current().gate()
    for warning in setup.warnings:
        log.warning(warning)
    images = inventory.images

    def progress(done: int) -> None:
        log.info("%d of %d images assessed", done, len(images))

    return tuple(await assess_images(images, setup.rules, setup.poller, config.scanning, progress=progress))


@step(name="follow up", run_name="follow up on live/ of {inventory.registry}", **UNCACHED)
async def follow_up(config: Bootstrap, inventory: Inventory, assessments: tuple[ImageAssessment, ...]) -> Rescan:
    """Update the cases on record, and emit an event for each change."""
    runtime = current()
    rules, at = (await runtime.gate()).rules, runtime.clock.now()
    outcome = await record_cases(await runtime.records(), config, inventory, assessments, at=at, run=run_id())
    for warning in outcome.warnings:
        get_run_logger().warning(warning)
    _emit(outcome.changes)
    if "notify" in config.scanning.reactions and outcome.changes:
        lines = [f"{change.kind}: {change.case.name}" for change in outcome.changes]
        more = [f"and {len(lines) - _MOST_EVENTS} more"] * (len(lines) > _MOST_EVENTS)
        emit("live.notified", changes=[*lines[:_MOST_EVENTS], *more])
    return Rescan(
        at=at, inventory=inventory, assessments=assessments, outcome=outcome, rules=rules, scanning=config.scanning
    )


@step(name="react", run_name="react to live/ of {rescan.inventory.registry}", **UNCACHED)
async def react(config: Bootstrap, infrastructure: Infrastructure, rescan: Rescan) -> Rescan:
    """Carry out the configured reactions, and undo those that no longer apply."""
    runtime = current()
    reactions = Reactions(
        config=config,
        client=runtime.oci,
        http=runtime.http,
        manifests=await runtime.repository(),
        records=await runtime.records(),
        token=await read_text_secret(config.manifests.token),
        run=run_id(),
        replication=partial(replication_of, infrastructure.registry, config.registries),
    )
    done, notes = await reactions.apply(rescan)
    for note in notes:
        get_run_logger().warning(note)
    _emit(done.outcome.changes[len(rescan.outcome.changes) :])
    return done


@step(name="verdict on live", run_name="verdict on live/ of {rescan.inventory.registry}", **UNCACHED)
async def conclude_rescan(rescan: Rescan) -> Rescan:
    """Publish the report.

    :raises LiveImagesAtRisk: when images are bad, or have overdue findings
    """
    about = "The images in live/ and their conditions"
    await acreate_markdown_artifact(report.markdown(rescan), key="live-summary", description=about)
    await acreate_table_artifact(report.rows(rescan), key="live", description="Images in live/ that need attention")
    recorded = f"```json\n{json.dumps(record(rescan), indent=1)}\n```"
    await acreate_markdown_artifact(recorded, key="live-record", description="The full record of the rescan, as JSON")
    report.require_none_at_risk(rescan)
    return rescan


def _emit(changes: Sequence[CaseChange]) -> None:
    """Log the changes, and emit an event for each, up to a limit per kind."""
    log = get_run_logger()
    for kind, event in _EVENTS.items():
        for change in [change for change in changes if change.kind == kind][:_MOST_EVENTS]:
            _emit_change(event, change)
    for change in changes[:_MOST_EVENTS]:
        log.info("%s: %s (%s)", change.kind, change.case.name, change.why or "see the report")
    if (more := len(changes) - _MOST_EVENTS) > 0:
        log.info("and %d more changes, in the report", more)


def _emit_change(event: Event, change: CaseChange) -> None:
    case = change.case
    emit(
        event,
        f"image.{case.name}",
        digest=case.digest,
        reference=str(case.reference),
        findings=[f"{finding.vulnerability} ({finding.severity.label})" for finding in change.findings[:_MOST_EVENTS]],
        due=case.due.date().isoformat() if case.due else "",
        why=change.why,
    )

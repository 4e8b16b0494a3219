"""The rescan of ``live/``: what is there, how it is judged today, and what follows from that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from prefect import get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from pratique.audit import provenance
from pratique.audit.provenance import AuditReport
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap
from pratique.git.checkout import checkout
from pratique.git.forges.remote import forge_of
from pratique.manifests.usage import references
from pratique.records import cases as records
from pratique.records.cases import Case, Cases
from pratique.rescan import report
from pratique.rescan.assessment import ImageAssessment, judge_live
from pratique.rescan.cases import CaseChange, ChangeKind, RescanOutcome, allowed, follow
from pratique.rescan.inventory import Inventory, Knowledge, take_inventory
from pratique.rescan.proposals import Moves, branch_name, moves, propose, proposed, request, withdraw
from pratique.rescan.pull_block import set_pulls
from pratique.rescan.report import Rescan
from tasks.events import Happened, tell
from tasks.policies import ALWAYS
from tasks.runtime import current, run_id
from tasks.secrets import read_text_secret
from tasks.states import ended, opened
from tasks.whole import Whole

#: Images with events of their own, of each kind; the report has all.
_TOLD = 100
_EVENTS: dict[ChangeKind, Happened] = {
    "newly bad": "live.newly-bad",
    "overdue": "live.overdue",
    "cured": "live.cured",
    "held": "live.held",
    "lifted": "live.lifted",
    "pulls blocked": "live.pulls-blocked",
    "pulls allowed": "live.pulls-allowed",
    "proposed": "live.proposed",
}
_PULLS_AT_ONCE = 8


@task(name="list live", task_run_name="list live/ of {infrastructure.registry.name}", **ALWAYS)
async def list_live(config: Bootstrap, infrastructure: Infrastructure) -> Whole[Inventory]:
    """Every image in live/, where it came from, and who uses it."""
    now, target, server = current(), config.manifests, infrastructure.registry.login_server
    branch = await now.records()
    promotions = await branch.promotions()
    async with checkout(await now.repository()) as tree:
        uses = await asyncio.to_thread(references, tree.root, target.folder, server)
    catalogue = [image.reference for image in config.catalogue.images]
    inventory = await take_inventory(now.oci, server, Knowledge(promotions, uses, catalogue))
    log = get_run_logger()
    for note in inventory.notes:
        log.warning(note)
    log.info("%d images in live/, %d of them used", len(inventory.images), sum(bool(i.users) for i in inventory.images))
    return Whole(inventory)


@task(name="judge live", task_run_name="judge live/ of {inventory.value.registry}", **ALWAYS)
async def judge(config: Bootstrap, inventory: Whole[Inventory]) -> Whole[list[ImageAssessment]]:
    """Every image under today's policy, exceptions and findings."""
    log, ready = get_run_logger(), await current().gate()
    for warning in ready.warnings:
        log.warning(warning)
    images = inventory.value.images

    def progress(done: int) -> None:
        log.info("%d of %d images judged", done, len(images))

    return Whole(await judge_live(images, ready.rules, ready.poller, config.scanning, progress=progress))


@task(name="follow up", task_run_name="follow up on live/ of {inventory.value.registry}", **ALWAYS)
async def follow_up(
    config: Bootstrap, inventory: Whole[Inventory], assessments: Whole[list[ImageAssessment]]
) -> Whole[Rescan]:
    """Bring the records up to date, and tell what is new."""
    rules, at = (await current().gate()).rules, current().clock.now()
    outcome = await _filed(config, inventory.value, assessments.value, at)
    _tell(outcome, notify="notify" in config.scanning.reactions)
    return Whole(Rescan(at, inventory.value, tuple(assessments.value), outcome, rules, config.scanning))


@task(name="react", task_run_name="react to live/ of {rescan.value.inventory.registry}", **ALWAYS)
async def react(config: Bootstrap, rescan: Whole[Rescan]) -> Whole[Rescan]:
    """Do, and undo, what the configuration says about bad images."""
    # A pull block is on file before it is made, and until it is undone: whoever comes next can tell that it is ours.
    outcome = rescan.value.outcome
    await _pulls(outcome.to_block, allow=False)
    await _pulls(outcome.to_allow, allow=True)
    done = await _done(config, rescan.value.inventory, rescan.value.assessments, outcome)
    return Whole(replace(rescan.value, outcome=done))


async def _filed(
    config: Bootstrap, inventory: Inventory, assessments: Sequence[ImageAssessment], at: datetime
) -> RescanOutcome:
    """What the looks mean for the cases, as it is written to the records."""
    made: list[RescanOutcome] = []

    def rewrite(text: str | None) -> str | None:
        before, window = Cases.parse(text), config.gate.policy.maximum_age
        made.append(follow(before, inventory, assessments, config.scanning, window=window, now=at))
        return text if made[-1].cases == before else made[-1].cases.text()

    message = f"Follow up on live/ of {inventory.registry}."
    await (await current().records()).write({records.FILE: rewrite}, message, run=run_id())
    return made[-1]


async def _done(
    config: Bootstrap, inventory: Inventory, assessments: Sequence[ImageAssessment], outcome: RescanOutcome
) -> RescanOutcome:
    """Propose what is to be proposed, and write down what was done."""
    undone = {case.key for case in outcome.to_allow}
    wanted, proposal = await _proposal(config, inventory, assessments, outcome)

    def done(cases: Cases) -> Cases:
        return proposed(allowed(cases, undone), wanted, proposal, inventory.registry)

    after = done(outcome.cases)
    if after == outcome.cases:
        return outcome
    message = f"What was done about live/ of {inventory.registry}."
    rewritten = {records.FILE: lambda text: done(Cases.parse(text)).text()}
    await (await current().records()).write(rewritten, message, run=run_id())
    names = {case.key: case.proposal for case in outcome.cases.cases}
    new = [case for case in after.cases if case.proposal and case.proposal != names[case.key]]
    changes = tuple(CaseChange("proposed", case, case.open, f"on branch {case.proposal}") for case in new)
    for change in changes[:_TOLD]:
        _tell_one(_EVENTS[change.kind], change)
    return replace(outcome, cases=after, changes=(*outcome.changes, *changes))


async def vouch(rescan: Whole[Rescan]) -> Whole[Rescan]:
    """Leave the report.

    :raises LiveImagesAtRisk: when images are bad, or overdue
    """
    return await opened(_vouch(rescan))


@task(name="verdict on live", task_run_name="verdict on live/ of {rescan.value.inventory.registry}", **ALWAYS)
async def _vouch(rescan: Whole[Rescan]) -> Whole[Rescan]:
    """Leave the report."""
    return await ended(_reported(rescan))


async def _reported(given: Whole[Rescan]) -> Whole[Rescan]:
    rescan = given.value
    about = "What is in live/, and how it stands"
    await acreate_markdown_artifact(report.markdown(rescan), key="live-summary", description=about)
    await acreate_table_artifact(
        report.rows(rescan), key="live", description="Images in live/ that are not simply well"
    )
    recorded = f"```json\n{json.dumps(report.record(rescan), indent=1)}\n```"
    await acreate_markdown_artifact(recorded, key="live-record", description="The same as JSON, with nothing left out")
    report.require_well(rescan)
    return given


async def require_explained(audit: AuditReport) -> AuditReport:
    """:raises LiveImagesUnexplained: when something in ``live/`` did not come by way of the quarantine"""
    provenance.require_explained(audit)
    return audit


async def _proposal(
    config: Bootstrap, inventory: Inventory, assessments: Sequence[ImageAssessment], outcome: RescanOutcome
) -> tuple[Moves, str | None]:
    """What is proposed now; what was proposed before and is not needed any more is withdrawn."""
    cases = [case for case in outcome.cases.cases if case.registry == inventory.registry]
    wanted = moves(cases, assessments) if "propose" in config.scanning.reactions else {}
    standing = {case.proposal for case in cases if case.proposal}
    now, target = current(), config.manifests
    manifests, author = await now.repository(), (await now.records()).author
    name = branch_name(wanted) if wanted else ""
    proposal = next((one for one in standing if one.startswith(f"{name}@")), None)
    if wanted and proposal is None:
        proposal = await propose(manifests, inventory.registry, wanted, author=author, pin=target.pin, run=run_id())
        if proposal and target.deliver == "pull-request":
            forge = forge_of(target.remote, await read_text_secret(target.token) or "", now.http)
            opened_request = await request(forge, target.branch, wanted)
            get_run_logger().info("Proposal %s: merge %s", name, opened_request.url)
    for one in sorted(standing - {proposal}):
        gone = await withdraw(manifests, one)
        get_run_logger().info("Proposal %s %s", one, "is withdrawn" if gone else "stays: others have committed to it")
    return wanted, proposal


async def _pulls(cases: Sequence[Case], *, allow: bool) -> None:
    limit = asyncio.Semaphore(_PULLS_AT_ONCE)

    async def one(case: Case) -> None:
        async with limit:
            await set_pulls(current().oci, case.reference, allowed=allow)
        done = "allowed again" if allow else "BLOCKED: pods that need it will not start on nodes that lack it"
        get_run_logger().warning("Pulls of %s are %s", case.name, done)

    await asyncio.gather(*map(one, cases))


def _tell(outcome: RescanOutcome, *, notify: bool) -> None:
    """Log what is new, and tell of it: image by image, and once for whoever is to be notified."""
    log = get_run_logger()
    for warning in outcome.warnings:
        log.warning(warning)
    for kind, what in _EVENTS.items():
        for change in outcome.of(kind)[:_TOLD]:
            _tell_one(what, change)
    for change in outcome.changes[:_TOLD]:
        log.info("%s: %s (%s)", change.kind, change.case.name, change.why or "see the report")
    if (more := len(outcome.changes) - _TOLD) > 0:
        log.info("and %d changes more, in the report", more)
    if notify and outcome.changes:
        lines = [f"{one.kind}: {one.case.name}" for one in outcome.changes]
        tell("live.notified", changes=[*lines[:_TOLD], *([f"and {len(lines) - _TOLD} more"] * (len(lines) > _TOLD))])


def _tell_one(what: Happened, change: CaseChange) -> None:
    case = change.case
    tell(
        what,
        f"image.{case.name}",
        digest=case.digest,
        reference=str(case.reference),
        findings=[f"{one.vulnerability} ({one.severity.label})" for one in change.findings[:_TOLD]],
        due=case.due.date().isoformat() if case.due else "",
        why=change.why,
    )

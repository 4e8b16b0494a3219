"""Updates the cases on record with a rescan's assessments: pure decisions.

Each image's findings get their clocks (:mod:`pratique.rescan.clocks`), from them and its assessment follows its
condition (:mod:`pratique.rescan.conditions`), and from the condition follow the reactions
(:mod:`pratique.rescan.reaction_plan`). A reaction ends with its condition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pratique.config.scanning import Scanning
from pratique.records.cases import REACTED_TO, Case, Cases, Condition, FindingState, Tracked
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.clocks import mark_notified, newly_overdue, track_findings
from pratique.rescan.conditions import BAD, condition_of, is_replaced, is_stale, passing_repositories
from pratique.rescan.inventory import Inventory
from pratique.rescan.reaction_plan import Actor, PullBlockPlan, hold_of, plan_pull_blocks

ChangeKind = Literal[
    "newly bad",
    "overdue",
    "cured",
    "held",
    "lifted",
    "pulls blocked",
    "pulls allowed",
    "proposed",
    "break glass overdue",
    "break glass assessed",
]

_ASSESSED = "it is assessed, or accepted"


@dataclass(frozen=True)
class CaseChange:
    """Something that has changed since the last rescan.

    :ivar findings: the findings that the change is about
    :ivar why: in words
    """

    kind: ChangeKind
    case: Case
    findings: tuple[Tracked, ...] = ()
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class RescanOutcome:
    """The cases after a rescan.

    :ivar changes: what has changed, image by image
    :ivar to_block: cases whose pulls to block, for the first time or again; each is on record as blocked
    :ivar to_allow: cases whose pulls Pratique blocked and now allows again; each stays on record until that is done
    :ivar warnings: sentences about reactions that were refused
    """

    cases: Cases
    changes: tuple[CaseChange, ...] = ()
    to_block: tuple[Case, ...] = ()
    to_allow: tuple[Case, ...] = ()
    warnings: tuple[str, ...] = ()

    def of(self, kind: ChangeKind) -> list[CaseChange]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind == kind]


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What updating each case of one rescan needs."""

    scanning: Scanning
    window: timedelta
    at: datetime
    passing: Collection[tuple[str, str]]
    actor: Actor


def update_cases(
    before: Cases,
    inventory: Inventory,
    assessments: Sequence[ImageAssessment],
    scanning: Scanning,
    *,
    window: float,
    at: datetime,
) -> RescanOutcome:
    """Update the cases with the assessments of one registry's images.

    :param before: as the last rescan left them; those of other registries stay as they are
    :param window: hours for which an assessment counts
    :param at: when the rescan runs
    """
    passing, hours = passing_repositories(assessments), timedelta(hours=window)
    actor = Actor(inventory.cluster, inventory.clusters)
    context = _Context(scanning=scanning, window=hours, at=at, passing=passing, actor=actor)
    images = {assessment.image.key: assessment.image for assessment in assessments}
    missing = {key: case for key, case in before.by_key.items() if key not in images}
    deleted = [key for key, case in missing.items() if inventory.complete and case.registry == inventory.registry]
    changes = [change for key in deleted for change in _removal_changes(missing[key])]
    updated: list[Case] = []
    for assessment in assessments:
        previous = before.by_key.get(assessment.image.key)
        found = _updated(previous, assessment, context)
        changes += _break_glass_changes(previous, found, assessment, at)
        if found is not None:
            overdue = _newly_overdue(found, at)
            changes += _case_changes(previous, found, overdue, assessment)
            updated.append(replace(found, findings=mark_notified(found.findings, overdue)))
        elif previous and previous.held_since:
            changes.append(_lifted(previous, _ASSESSED))
    plan = plan_pull_blocks(updated, images, scanning, actor=actor, complete=inventory.complete, at=at)
    blocked = {case.key: case for case in (*plan.new, *plan.repeated)}
    cases = [missing[key] for key in missing.keys() - deleted]
    cases += [blocked.get(case.key, case) for case in updated]
    return RescanOutcome(
        cases=Cases(tuple(sorted(cases, key=lambda case: case.key))),
        changes=(*changes, *_block_changes(plan)),
        to_block=(*plan.repeated, *plan.new),
        to_allow=tuple(case for case, _ in plan.obsolete),
        warnings=plan.warnings,
    )


def with_pulls_allowed(cases: Cases, allowed: Sequence[Case]) -> Cases:
    """The cases once the pulls of some of them are allowed again.

    A case that another rescan has changed meanwhile stays blocked on record: its pulls may be blocked again.

    :param allowed: the cases as they were when it was decided to allow their pulls
    """
    unchanged = {case.key: _as_recorded(case) for case in allowed}
    return Cases(
        tuple(
            replace(case, blocked_since=None, blocked_by="") if unchanged.get(case.key) == _as_recorded(case) else case
            for case in cases.cases
        )
    )


def _as_recorded(case: Case) -> dict[str, Any]:
    """What the record has of a case, whose times are to the second; without proposals, which others may have made."""
    return replace(case, proposals={}).entry()


def _updated(previous: Case | None, assessment: ImageAssessment, context: _Context) -> Case | None:
    """The case of an image after its assessment; ``None`` when there is nothing to keep on record."""
    image, scanning, at = assessment.image, context.scanning, context.at
    use = image.break_glass
    findings = track_findings(previous.findings if previous else (), assessment, scanning.sla, at)
    condition = condition_of(
        assessment,
        findings,
        previous.condition if previous else None,
        replaced=is_replaced(assessment, context.passing),
        stale=is_stale(assessment, stale_after=timedelta(days=scanning.stale_days), window=context.window, at=at),
        overdue=use is not None and use.overdue(at),
    )
    if condition is None and not (previous and previous.blocked_since):
        return None
    condition = condition or Condition.CURED
    held_since, held_by = hold_of(previous, condition, scanning, context.actor, at)
    return Case(
        registry=image.registry,
        repository=image.repository,
        tags=image.tags,
        digest=image.digest,
        condition=condition,
        since=previous.since if previous and previous.condition is condition else at,
        findings=findings,
        manifests=assessment.manifests or (previous.manifests if previous and condition in BAD else ()),
        held_since=held_since,
        held_by=held_by,
        proof_due=use.glass.until if use and condition is Condition.BREAK_GLASS else None,
        blocked_since=previous.blocked_since if previous else None,
        blocked_by=previous.blocked_by if previous else "",
        proposals=previous.proposals if previous else {},
    )


def _newly_overdue(case: Case, at: datetime) -> tuple[Tracked, ...]:
    """The findings to report as overdue: only where somebody has to act on the image."""
    return newly_overdue(case.open, at) if case.condition in (Condition.BAD, Condition.WATCHED) else ()


def _case_changes(
    previous: Case | None, case: Case, overdue: tuple[Tracked, ...], assessment: ImageAssessment
) -> Iterator[CaseChange]:
    """What has changed about an image since the last rescan."""
    was_bad = previous is not None and previous.condition is Condition.BAD
    if case.condition is Condition.BAD:
        known = {finding.key for finding in previous.open} if previous and was_bad else set()
        if new := tuple(finding for finding in case.open if finding.key not in known):
            yield CaseChange("newly bad", case, new, assessment.reason)
    elif previous and was_bad:
        yield CaseChange("cured", replace(case, findings=previous.findings), previous.open, _why_cured(case))
    if case.held_since and not (previous and previous.held_since):
        yield CaseChange("held", case, case.open, assessment.reason)
    if previous and previous.held_since and not case.held_since:
        yield _lifted(previous, _why_cured(case))
    if overdue:
        yield CaseChange("overdue", case, overdue)


def _break_glass_changes(
    previous: Case | None, case: Case | None, assessment: ImageAssessment, at: datetime
) -> Iterator[CaseChange]:
    """What has changed about an image that came in by break glass, and was not assessed until now.

    :param case: after the assessment; ``None`` when nothing is kept on record
    """
    image, use = assessment.image, assessment.image.break_glass
    if use is None:
        return
    if assessment.proven:
        shown = case or Case(
            registry=image.registry,
            repository=image.repository,
            tags=image.tags,
            digest=image.digest,
            condition=Condition.CURED,
            since=at,
        )
        yield CaseChange(
            "break glass assessed", shown, shown.open, f"{assessment.state}; it came in by {use.description}"
        )
    elif case and case.condition is Condition.BREAK_GLASS and not (previous and previous.condition is case.condition):
        yield CaseChange("break glass overdue", case, case.open, f"not assessed since; it came in by {use.description}")


def _removal_changes(case: Case) -> Iterator[CaseChange]:
    """What has changed about an image that was deleted: nothing is left to do about it."""
    why = "it is no longer in live/"
    if case.condition in REACTED_TO:
        yield CaseChange("cured", case, case.open, why)
    if case.held_since:
        yield _lifted(case, why)


def _block_changes(plan: PullBlockPlan) -> Iterator[CaseChange]:
    for case, why in plan.obsolete:
        yield CaseChange("pulls allowed", case, case.open, why)
    for case in plan.new:
        yield CaseChange("pulls blocked", case, case.open)


def _lifted(case: Case, why: str) -> CaseChange:
    return CaseChange("lifted", case, case.open, f"{why}; it was held since {case.held_since:%Y-%m-%d}")


def _why_cured(case: Case) -> str:
    """Why an image is no longer bad, or no longer held."""
    if case.condition is Condition.BAD:
        return "scanning.reactions no longer has hold"
    if case.condition is Condition.REPLACED:
        return "the manifests use another image of its repository, which passes"
    if case.condition is Condition.WATCHED:
        return "its remaining findings are within the policy"
    if not case.findings:
        return _ASSESSED
    waived = any(finding.state is FindingState.WAIVED for finding in case.findings)
    return "exceptions cover its findings" if waived else "its findings are gone"

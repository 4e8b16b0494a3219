"""What a day's looks mean for the cases on file: pure decisions.

Each finding has a clock from the day on which a rescan first saw it. It stops when an assessment no longer has the
finding, or an exception covers it; that nobody could look cures nothing. Reactions follow from an image's condition,
and go with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pratique.config.scanning import Scanning
from pratique.findings import Finding
from pratique.gate.verdict import VerdictState
from pratique.records.cases import MEMORY, Case, Cases, Condition, FindingState, Tracked
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.inventory import Inventory

ChangeKind = Literal["newly bad", "overdue", "cured", "held", "lifted", "pulls blocked", "pulls allowed", "proposed"]

_GONE = "it is no longer in live/"
_BAD = (Condition.BAD, Condition.REPLACED)
_KEPT_WHILE_UNPROVEN = (*_BAD, Condition.WATCHED)


@dataclass(frozen=True)
class CaseChange:
    """Something that was not so at the last rescan.

    :ivar findings: that it is about
    :ivar why: in words
    """

    kind: ChangeKind
    case: Case
    findings: tuple[Tracked, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class RescanOutcome:
    """The cases after a rescan.

    :ivar changes: what is new, image by image
    :ivar to_block: cases whose pulls are to be blocked, or still are to be; each is on file as blocked
    :ivar to_allow: cases whose pulls we blocked, and need not any more; each stays on file until that is undone
    :ivar warnings: sentences about reactions that were refused
    """

    cases: Cases
    changes: tuple[CaseChange, ...] = ()
    to_block: tuple[Case, ...] = ()
    to_allow: tuple[Case, ...] = ()
    warnings: tuple[str, ...] = ()

    def of(self, kind: ChangeKind) -> list[CaseChange]:
        """The changes of one kind."""
        return [one for one in self.changes if one.kind == kind]


def follow(
    before: Cases,
    inventory: Inventory,
    assessments: Sequence[ImageAssessment],
    scanning: Scanning,
    *,
    window: float,
    now: datetime,
) -> RescanOutcome:
    """Bring the cases up to date.

    :param before: as the last rescan left them; those of other registries stay as they are
    :param window: hours for which an assessment counts
    """
    day = _Day(before, assessments, scanning, timedelta(hours=window), now)
    others = [case for case in before.cases if case.registry != inventory.registry]
    there = {assessment.image.key for assessment in assessments}
    missing = [case for case in before.cases if case.registry == inventory.registry and case.key not in there]
    if inventory.seen:
        day.gone(missing)
    else:
        others += missing
    cases = [case for assessment in assessments if (case := day.looked(assessment)) is not None]
    blocks, warnings = day.blocks(cases, seen=inventory.seen)
    return RescanOutcome(
        Cases(tuple(sorted((*others, *blocks.values()), key=lambda case: case.key))),
        tuple(day.changes),
        tuple(day.to_block),
        tuple(day.to_allow),
        tuple(warnings),
    )


def allowed(cases: Cases, keys: Collection[tuple[str, str, str]]) -> Cases:
    """The cases once the pulls of some of them are allowed again."""
    return Cases(tuple(replace(case, blocked=None) if case.key in keys else case for case in cases.cases))


class _Day:
    """One rescan."""

    def __init__(
        self,
        before: Cases,
        assessments: Sequence[ImageAssessment],
        scanning: Scanning,
        window: timedelta,
        now: datetime,
    ) -> None:
        self._before = before.by_key
        self._looks = {assessment.image.key: assessment for assessment in assessments}
        self._scanning = scanning
        self._window = window
        self._now = now
        self._good = {
            (assessment.image.registry, assessment.image.repository)
            for assessment in assessments
            if assessment.image.users and assessment.passes
        }
        self.changes: list[CaseChange] = []
        self.to_block: list[Case] = []
        self.to_allow: list[Case] = []

    def gone(self, cases: Iterable[Case]) -> None:
        """Images that are no longer there: nothing is left to do about them."""
        for case in cases:
            self._tell_cured(case, _GONE)
            self._tell_lifted(case, _GONE)

    def looked(self, assessment: ImageAssessment) -> Case | None:
        """The case of an image after today's look; ``None`` when there is nothing to keep an eye on."""
        image, case = assessment.image, self._before.get(assessment.image.key)
        findings = self._findings(case, assessment)
        condition = self._condition(case, assessment, findings)
        if condition is None and not (case and case.blocked):
            return None
        condition = condition or Condition.CURED
        same = case is not None and case.condition is condition
        found = Case(
            *(image.registry, image.repository, image.tags, image.digest, condition),
            case.since if same and case else self._now,
            findings,
            assessment.manifests or (case.manifests if case and condition in _BAD else ()),
            self._held(case, condition),
            case.blocked if case else None,
            case.proposal if case else "",
        )
        return self._told(case, found, assessment)

    def _findings(self, case: Case | None, assessment: ImageAssessment) -> tuple[Tracked, ...]:
        known = {one.key: one for one in case.findings} if case else {}
        seen = {f.key: self._seen(known.get(f.key), f, FindingState.EXCUSED) for f in assessment.waived}
        seen |= {f.key: self._seen(known.get(f.key), f, FindingState.OPEN) for f in assessment.findings}
        for key, one in known.items():
            if key not in seen:
                cured = assessment.proven and one.state is not FindingState.CURED
                rest = replace(one, state=FindingState.CURED, at=self._now, notified=False) if cured else one
                if rest.state is not FindingState.CURED or self._now - rest.at <= MEMORY:
                    seen[key] = rest
        return tuple(seen[key] for key in sorted(seen))

    def _seen(self, known: Tracked | None, finding: Finding, state: FindingState) -> Tracked:
        first = known.first_seen if known else self._now
        since = known.at if known and known.state is state else self._now
        due = self._scanning.sla.due(finding.severity, first)
        told = known is not None and known.notified and known.due == due
        names = (finding.vulnerability, finding.package, finding.fixed_version, finding.severity)
        return Tracked(*names, first, due, state, since, told)

    def _condition(
        self, case: Case | None, assessment: ImageAssessment, findings: Sequence[Tracked]
    ) -> Condition | None:
        counted = any(one.state is FindingState.OPEN for one in findings)
        unproven = not assessment.passes and assessment.state is not VerdictState.UNHEALTHY
        if assessment.state is VerdictState.UNHEALTHY or (unproven and case and case.condition in _BAD and counted):
            place = (assessment.image.registry, assessment.image.repository)
            return Condition.REPLACED if place in self._good and not assessment.image.users else Condition.BAD
        if counted and (not unproven or (case and case.condition in _KEPT_WHILE_UNPROVEN)):
            return Condition.WATCHED
        if unproven:
            return Condition.STALE if self._stale(assessment) else Condition.UNVERIFIED
        return Condition.CURED if findings else None

    def _stale(self, assessment: ImageAssessment) -> bool:
        """Whether nobody looks any more: Defender's window has passed, and no assessment is young enough to count."""
        recent = assessment.assessed is not None and self._now - assessment.assessed <= self._window
        pushed, days = assessment.image.pushed, timedelta(days=self._scanning.stale_days)
        return not assessment.doubt and not recent and pushed is not None and self._now - pushed > days

    def _held(self, case: Case | None, condition: Condition) -> datetime | None:
        if "hold" not in self._scanning.reactions or condition is not Condition.BAD:
            return None
        return (case.held if case else None) or self._now

    def _told(self, case: Case | None, found: Case, assessment: ImageAssessment) -> Case:
        """The case, and what is new about it among the changes."""
        was_bad = case is not None and case.condition is Condition.BAD
        if found.condition is Condition.BAD:
            known = {one.key for one in case.open} if case and was_bad else set()
            if new := tuple(one for one in found.open if one.key not in known):
                self.changes.append(CaseChange("newly bad", found, new, assessment.reason))
        elif case and was_bad:
            self._tell_cured(replace(found, findings=case.findings), _cure(found))
        if found.held and not (case and case.held):
            self.changes.append(CaseChange("held", found, found.open, assessment.reason))
        if case and case.held and not found.held:
            self._tell_lifted(case, _cure(found))
        if found.condition not in (Condition.BAD, Condition.WATCHED):
            return found
        late = {one.key for one in found.findings if one.overdue(self._now) and not one.notified}
        if not late:
            return found
        told = tuple(replace(one, notified=True) if one.key in late else one for one in found.findings)
        found = replace(found, findings=told)
        self.changes.append(CaseChange("overdue", found, tuple(one for one in found.open if one.key in late)))
        return found

    def _tell_cured(self, case: Case, why: str) -> None:
        if case.key in self._before and self._before[case.key].condition is Condition.BAD:
            self.changes.append(CaseChange("cured", case, case.open, why))

    def _tell_lifted(self, case: Case, why: str) -> None:
        if case.held:
            self.changes.append(CaseChange("lifted", case, case.open, f"{why}; it was held since {case.held:%Y-%m-%d}"))

    def blocks(self, cases: Sequence[Case], *, seen: bool) -> tuple[Mapping[tuple[str, str, str], Case], list[str]]:
        """The cases with the pull blocks that they are to have, and why others have none."""
        found = {case.key: case for case in cases}
        if not seen:
            blind = any(case.blocked or self._wanted(case) for case in cases)
            return found, ["Pulls are neither blocked nor allowed: the registry cannot be seen from here."] * blind
        new, warnings = [], []
        for case in cases:
            refused = self._refusal(case)
            if refused is None and not case.blocked and self._looks[case.key].image.readable:
                new.append(replace(case, blocked=self._now))
            elif refused is None and case.blocked:
                self.to_block += [case] if self._looks[case.key].image.readable else []
            elif refused is not None and case.blocked:
                self.to_allow.append(case)
                self.changes.append(CaseChange("pulls allowed", case, case.open, refused))
            elif refused and self._wanted(case):
                warnings.append(f"Pulls of {case.name} are not blocked: {refused}.")
        if len(new) > self._scanning.most_blocks:
            warnings.append(
                f"No pulls are blocked: {len(new)} images would be at once, and at most {self._scanning.most_blocks} "
                "may (scanning.most_blocks). So many at once may be a mistake of the scanner's, or an outage of yours."
            )
            new = []
        self.to_block += new
        self.changes += [CaseChange("pulls blocked", case, case.open) for case in new]
        return found | {case.key: case for case in new}, warnings

    def _wanted(self, case: Case) -> bool:
        return "block-pulls" in self._scanning.reactions and case.condition in _BAD

    def _refusal(self, case: Case) -> str | None:
        """Why pulls of an image are not to be blocked; ``None`` when they are."""
        if not self._wanted(case):
            return "it is no longer bad" if case.condition not in _BAD else "block-pulls is no reaction any more"
        users = self._looks[case.key].image.users
        if users and not self._scanning.block_pulls_referenced:
            return f"{', '.join(users[:3])} refers to it, and its pods could not start again"
        return None


def _cure(found: Case) -> str:
    if found.condition is Condition.BAD:
        return "hold is no reaction any more"
    if found.condition is Condition.REPLACED:
        return "the manifests use another image of its repository, which passes"
    if found.condition is Condition.WATCHED:
        return "what is left of its findings is within the policy"
    waived = any(one.state is FindingState.EXCUSED for one in found.findings)
    return "exceptions cover its findings" if waived else "its findings are gone"

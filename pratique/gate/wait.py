"""Waits for a release's verdict.

The wait keeps no state between runs. It asks the sources again, and counts the time from each image's arrival in
quarantine, so a repeated run continues from the current evidence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from pratique.gate.approval import Approval
from pratique.gate.assessment import BAD, Assessment
from pratique.gate.candidate import Candidate
from pratique.gate.polling import EvidencePoller
from pratique.gate.rules import Rules
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, VerdictState

#: How long news is likely: after images arrive, Defender's scans end within a quarter of an hour to hours, many of them
#: close together.
_LIVELY = timedelta(minutes=30)


@dataclass(frozen=True)
class WaitPolicy:
    """How the gate waits.

    :ivar interval: seconds between polls for the first half hour of the wait, and for half an hour after each change of
        a verdict; then a tenth of the time beyond that half hour, up to ten intervals
    :ivar patience: minutes to wait for an image that is accepted unassessed
    :ivar deadline: minutes to wait for all others
    :ivar fail_fast: whether one blocked image ends the wait
    """

    interval: float
    patience: float
    deadline: float
    fail_fast: bool = True

    def next_poll(self, at: datetime, quiet_since: datetime) -> datetime:
        """When to poll next.

        :param quiet_since: when the wait began, or a verdict last changed
        """
        long = (at - quiet_since - _LIVELY).total_seconds()
        return at + timedelta(seconds=min(max(self.interval, long / 10), 10 * self.interval))


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """The verdicts on one release's images, in the catalogue's order.

    :ivar at: when the oldest of the questions was asked on whose answers the verdicts rest
    :ivar approval: a person's answer, where one was asked
    """

    release: str
    verdicts: tuple[ImageVerdict, ...]
    rules: Rules
    at: datetime
    approval: Approval | None = None

    @cached_property  # each promotion of the release asks for it
    def passed(self) -> bool:
        return all(verdict.state.passes for verdict in self.verdicts)

    @property
    def blocked(self) -> tuple[ImageVerdict, ...]:
        """The images that keep the release out."""
        return tuple(verdict for verdict in self.verdicts if verdict.state.blocks)

    @property
    def asking(self) -> tuple[ImageVerdict, ...]:
        """The images that only a person can let in."""
        return tuple(verdict for verdict in self.verdicts if verdict.state.asks)

    def with_approval(self, approval: Approval, at: datetime | None = None) -> GateReport:
        """The report with a person's answer on all images that needed one. An approval covers only what was shown.

        :param at: when the approval has to be valid; by default at the time of the report
        """
        verdicts = tuple(
            replace(
                verdict,
                platforms=tuple(
                    _with_approval(verdict.image.location.short, platform, approval, at or self.at)
                    for platform in verdict.platforms
                ),
            )
            for verdict in self.verdicts
        )
        return replace(self, verdicts=verdicts, approval=approval)


Progress = Callable[[GateReport], Awaitable[None]]


async def assess(
    release: str,
    candidates: Sequence[Candidate],
    rules: Rules,
    wait_policy: WaitPolicy,
    *,
    poller: EvidencePoller,
    progress: Progress,
) -> GateReport:
    """Wait until every image of the release has a final verdict.

    At the end, the sources are asked once more about whatever they were asked about too long ago.

    :param progress: called whenever a verdict changes
    :raises PratiqueError: when a source cannot be asked at all
    """
    assessment = Assessment(candidates, rules, poller, patience=wait_policy.patience, deadline=wait_policy.deadline)
    due = quiet_since = assessment.started
    before: GateReport | None = None
    renewed = False
    while True:
        await assessment.ask(due)
        at = poller.clock.now()
        report = _report(release, rules, assessment, at)
        if _decisive(report, wait_policy) is not None:
            assessment.forget_verdicts()  # the wait ends by verdicts that are evaluated for its end
            report = _report(release, rules, assessment, at)
        if before is None or report.verdicts != before.verdicts:
            quiet_since = at
            await progress(report)
        before = report
        decisive = _decisive(report, wait_policy)
        if decisive is None:
            due = min([wait_policy.next_poll(at, quiet_since), *assessment.deadlines(report.verdicts, at)])
        elif assessment.look_everywhere(report.verdicts, decisive):
            due = at
        elif (wait_policy.fail_fast and report.blocked) or renewed or not assessment.renew(at):
            return report
        else:
            renewed, due = True, at


async def assess_once(
    release: str, candidates: Sequence[Candidate], rules: Rules, wait_policy: WaitPolicy, *, poller: EvidencePoller
) -> GateReport:
    """The gate's verdicts without waiting for anything; they may not be final.

    :raises PratiqueError: when a source cannot be asked at all
    """
    assessment = Assessment(candidates, rules, poller, patience=wait_policy.patience, deadline=wait_policy.deadline)
    await assessment.ask(assessment.started)
    return _report(release, rules, assessment, poller.clock.now())


def _report(release: str, rules: Rules, assessment: Assessment, at: datetime) -> GateReport:
    verdicts = assessment.verdicts(at)
    return GateReport(release=release, verdicts=verdicts, rules=rules, at=assessment.asked_at or at)


def _decisive(report: GateReport, wait_policy: WaitPolicy) -> frozenset[VerdictState] | None:
    """The states of the verdicts by which the wait ends; ``None`` while it goes on."""
    if wait_policy.fail_fast and report.blocked:
        blocking = frozenset(verdict.state for verdict in report.blocked)
        return blocking & BAD or blocking
    states = frozenset(verdict.state for verdict in report.verdicts)
    return states if all(state.final for state in states) else None


def _with_approval(image: str, platform_verdict: PlatformVerdict, approval: Approval, at: datetime) -> PlatformVerdict:
    if not platform_verdict.state.asks:
        return platform_verdict
    gap = approval.gap(image, platform_verdict, at) if approval.approved else ""
    approved = VerdictState.BREAK_GLASS if platform_verdict.break_glass else VerdictState.APPROVED
    state = approved if approval.approved and not gap else VerdictState.UNVERIFIED
    reasons = (platform_verdict.reason, gap, approval.description)
    return replace(platform_verdict, state=state, reason="; ".join(filter(None, reasons)))

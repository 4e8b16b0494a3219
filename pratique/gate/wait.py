"""Waits for a release's verdict.

The wait keeps no state between runs. It asks the sources again, and counts the time from each image's arrival in
quarantine, so a repeated run continues from the current evidence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from pratique.clock import Clock
from pratique.gate.approval import Approval
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import SourceStatus, Subject
from pratique.gate.polling import Evidence, EvidencePoller
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, VerdictState
from pratique.images import ResolvedImage
from pratique.platforms import required_manifests


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image in quarantine.

    :ivar repository: its repository in quarantine
    :ivar since: when its wait begins; ``None`` for the gate's start
    :ivar arrivals: digests, and when they were pushed to the repository, where that is known
    """

    image: ResolvedImage
    registry: str
    repository: str
    since: datetime | None = None
    arrivals: tuple[tuple[str, datetime], ...] = ()

    def subjects(self, platforms: Sequence[str]) -> list[Subject]:
        """The digests that need a verdict."""
        required, _ = required_manifests(self.image, platforms)
        digests = dict.fromkeys(manifest.digest for manifest in required)
        arrived = dict(self.arrivals)
        return [Subject(self.registry, self.repository, digest, arrived.get(digest)) for digest in digests]


@dataclass(frozen=True)
class WaitPolicy:
    """How the gate waits.

    :ivar interval: seconds between polls at first; later a tenth of the time without changes, up to ten intervals
    :ivar patience: minutes to wait for an image that is accepted unassessed
    :ivar deadline: minutes to wait for all others
    :ivar fail_fast: whether one blocked image ends the wait
    """

    interval: float
    patience: float
    deadline: float
    fail_fast: bool = True

    def next_poll(self, at: datetime, quiet_since: datetime) -> datetime:
        quiet = (at - quiet_since).total_seconds()
        return at + timedelta(seconds=min(max(self.interval, quiet / 10), 10 * self.interval))


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """The verdicts on one release's images, in the catalogue's order.

    :ivar at: when the gate last asked its sources
    :ivar approval: a person's answer, where one was asked
    """

    release: str
    verdicts: tuple[ImageVerdict, ...]
    rules: Rules
    at: datetime
    approval: Approval | None = None

    @property
    def passed(self) -> bool:
        return all(verdict.state.passes for verdict in self.verdicts)

    @property
    def blocked(self) -> tuple[ImageVerdict, ...]:
        """The images that keep the release out."""
        return tuple(verdict for verdict in self.verdicts if verdict.state.blocks)

    @property
    def asking(self) -> tuple[ImageVerdict, ...]:
        """The images that only a person can let in."""
        return tuple(verdict for verdict in self.verdicts if verdict.state is VerdictState.ASKING)

    def with_approval(self, approval: Approval) -> GateReport:
        """The report with a person's answer on all images that needed one. An approval covers only what was shown."""
        verdicts = tuple(
            replace(
                verdict,
                platforms=tuple(
                    _with_approval(verdict.image.reference.short, platform, approval, self.at)
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

    :param progress: called whenever a verdict changes
    :raises PratiqueError: when a source cannot be asked at all
    """
    assessment = _Assessment(release, candidates, rules, wait_policy, poller.clock.now())
    due = quiet_since = assessment.started
    before: GateReport | None = None
    while True:
        if rules.sources:
            assessment.add(await poller.poll(assessment.subjects, partial(assessment.undecided, poller.clock), due))
        report = assessment.report(poller.clock.now())
        if before is None or report.verdicts != before.verdicts:
            quiet_since = report.at
            await progress(report)
        before = report
        if all(verdict.state.final for verdict in report.verdicts) or (wait_policy.fail_fast and report.blocked):
            return report
        due = min([wait_policy.next_poll(report.at, quiet_since), *assessment.deadlines(report)])


async def assess_once(
    release: str, candidates: Sequence[Candidate], rules: Rules, wait_policy: WaitPolicy, *, poller: EvidencePoller
) -> GateReport:
    """The gate's verdicts without waiting for anything; they may not be final.

    :raises PratiqueError: when a source cannot be asked at all
    """
    assessment = _Assessment(release, candidates, rules, wait_policy, poller.clock.now())
    if rules.sources and assessment.subjects:
        assessment.add(
            await poller.poll(assessment.subjects, partial(assessment.undecided, poller.clock), assessment.started)
        )
    return assessment.report(poller.clock.now())


class _Assessment:
    """The evidence on a release's images so far, and the verdicts that follow from it."""

    def __init__(
        self, release: str, candidates: Sequence[Candidate], rules: Rules, wait_policy: WaitPolicy, started: datetime
    ) -> None:
        self._release = release
        self._subjects = [(candidate, candidate.subjects(rules.platforms)) for candidate in candidates]
        self._rules = rules
        self._wait_policy = wait_policy
        self.started = started
        self.subjects = list(dict.fromkeys(subject for _, subjects in self._subjects for subject in subjects))
        self._known: Evidence = {subject: {} for subject in self.subjects}

    def add(self, evidence: Evidence) -> None:
        """Add evidence. A source that cannot be asked now proves nothing, but its earlier findings still count."""
        for subject, observations in evidence.items():
            before = self._known[subject]
            for name, observation in observations.items():
                if observation.status is SourceStatus.FAILED and name in before:
                    observation = replace(observation, findings=before[name].findings)
                before[name] = observation

    def report(self, at: datetime, latest: Evidence | None = None) -> GateReport:
        """The verdicts on the evidence so far, and on the latest evidence if it is given."""
        verdicts = []
        for candidate, subjects in self._subjects:
            evidence = {
                subject.digest: tuple((self._known[subject] | (latest[subject] if latest else {})).values())
                for subject in subjects
            }
            wait = Wait(
                at=at,
                since=self._since(candidate),
                started=self.started,
                patience=self._wait_policy.patience,
                deadline=self._wait_policy.deadline,
            )
            verdicts.append(evaluate_image(candidate.image, evidence, self._rules, wait))
        return GateReport(release=self._release, verdicts=tuple(verdicts), rules=self._rules, at=at)

    def undecided(self, clock: Clock, latest: Evidence) -> Collection[Subject]:
        """The subjects for which a narrow source can change the verdict: neither those that block nor those proven."""
        so_far = self.report(clock.now(), latest)
        return [
            subject
            for (_, subjects), verdict in zip(self._subjects, so_far.verdicts, strict=True)
            if verdict.state
            not in (VerdictState.UNHEALTHY, VerdictState.HELD, VerdictState.HEALTHY, VerdictState.TOLERATED)
            for subject in subjects
        ]

    def deadlines(self, report: GateReport) -> Iterator[datetime]:
        """The times at which the wait for an image ends."""
        for (candidate, _), verdict in zip(self._subjects, report.verdicts, strict=True):
            for since in (self._since(candidate), self.started) if not verdict.state.final else ():
                for minutes in (self._wait_policy.patience, self._wait_policy.deadline):
                    if (end := since + timedelta(minutes=minutes)) > report.at:
                        yield end

    def _since(self, candidate: Candidate) -> datetime:
        return candidate.since or self.started


def _with_approval(image: str, platform_verdict: PlatformVerdict, approval: Approval, at: datetime) -> PlatformVerdict:
    if platform_verdict.state is not VerdictState.ASKING:
        return platform_verdict
    gap = approval.gap(image, platform_verdict, at) if approval.approved else ""
    state = VerdictState.APPROVED if approval.approved and not gap else VerdictState.UNVERIFIED
    reasons = (platform_verdict.reason, gap, approval.description)
    return replace(platform_verdict, state=state, reason="; ".join(filter(None, reasons)))

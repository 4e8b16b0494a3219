"""The wait for a release's verdict.

It has no memory of its own: whatever it needs it asks for again, and it counts the time from each image's arrival in
quarantine, so a run that is repeated takes up where the evidence stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from pratique.clock import Clock
from pratique.gate.approval import Approval
from pratique.gate.evidence import SourceStatus, Subject
from pratique.gate.polling import Evidence, EvidencePoller
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, Rules, VerdictState, Wait, decide, required_manifests
from pratique.images import ResolvedImage


@dataclass(frozen=True)
class Candidate:
    """An image in quarantine.

    :ivar repository: where it stands there
    :ivar since: from when its wait counts; ``None`` for the gate's beginning
    :ivar arrivals: digests, and when they came to the repository, where that is known
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

    :ivar interval: seconds between two looks at first; a tenth of the time without news, up to ten times as long
    :ivar patience: minutes for an image that is accepted unassessed
    :ivar deadline: minutes for all others
    :ivar fail_fast: whether one blocked image ends the wait
    """

    interval: float
    patience: float
    deadline: float
    fail_fast: bool = True

    def next_look(self, now: datetime, quiet_since: datetime) -> datetime:
        quiet = (now - quiet_since).total_seconds()
        return now + timedelta(seconds=min(max(self.interval, quiet / 10), 10 * self.interval))


@dataclass(frozen=True)
class GateReport:
    """The decisions about one release, in the catalogue's order.

    :ivar at: when the gate last looked
    :ivar approval: what a person said, where one was asked
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

    def answered(self, approval: Approval) -> GateReport:
        """The report after a person's word on all that was asked."""
        verdicts = tuple(
            replace(one, platforms=tuple(_answered(platform_verdict, approval) for platform_verdict in one.platforms))
            for one in self.verdicts
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
    """Wait until the release is decided.

    :param progress: told whenever a decision changes
    :raises PratiqueError: when a source cannot be asked at all
    """
    file = _Assessment(release, candidates, rules, wait_policy, poller.clock.now())
    due = quiet_since = file.started
    before: GateReport | None = None
    while True:
        if rules.asked:
            file.add(await poller.look(file.subjects, partial(file.undecided, poller.clock), due))
        report = file.report(poller.clock.now())
        if before is None or report.verdicts != before.verdicts:
            quiet_since = report.at
            await progress(report)
        before = report
        if all(one.state.final for one in report.verdicts) or (wait_policy.fail_fast and report.blocked):
            return report
        due = min([wait_policy.next_look(report.at, quiet_since), *file.ends(report)])


async def assess_once(
    release: str, candidates: Sequence[Candidate], rules: Rules, wait_policy: WaitPolicy, *, poller: EvidencePoller
) -> GateReport:
    """What the gate would say now, without waiting for anything: much of it is not final.

    :raises PratiqueError: when a source cannot be asked at all
    """
    file = _Assessment(release, candidates, rules, wait_policy, poller.clock.now())
    if rules.asked and file.subjects:
        file.add(await poller.look(file.subjects, partial(file.undecided, poller.clock), file.started))
    return file.report(poller.clock.now())


class _Assessment:
    """What is known of a release's images, and what it means."""

    def __init__(
        self, release: str, candidates: Sequence[Candidate], rules: Rules, wait_policy: WaitPolicy, started: datetime
    ) -> None:
        self._release = release
        self._subjects = [(candidate, candidate.subjects(rules.platforms)) for candidate in candidates]
        self._rules = rules
        self._pace = wait_policy
        self.started = started
        self.subjects = list(dict.fromkeys(subject for _, some in self._subjects for subject in some))
        self._known: Evidence = {subject: {} for subject in self.subjects}

    def add(self, looked: Evidence) -> None:
        """A source that cannot be asked now proves nothing, but what it found before still counts."""
        for subject, observations in looked.items():
            before = self._known[subject]
            for name, one in observations.items():
                lasting = one.status is SourceStatus.FAILED and name in before
                before[name] = replace(one, findings=before[name].findings) if lasting else one

    def report(self, now: datetime, found: Evidence | None = None) -> GateReport:
        """The decisions on what is known, and on what was found besides."""
        verdicts = []
        for candidate, some in self._subjects:
            evidence = {one.digest: tuple((self._known[one] | (found[one] if found else {})).values()) for one in some}
            wait = Wait(now, self._since(candidate), self.started, self._pace.patience, self._pace.deadline)
            verdicts.append(decide(candidate.image, evidence, self._rules, wait))
        return GateReport(self._release, tuple(verdicts), self._rules, now)

    def undecided(self, clock: Clock, found: Evidence) -> Collection[Subject]:
        """Where a narrow source may still make a difference: not for what blocks, nor for what it has proven."""
        so_far = self.report(clock.now(), found)
        return [
            subject
            for (_, some), verdict in zip(self._subjects, so_far.verdicts, strict=True)
            if verdict.state
            not in (VerdictState.UNHEALTHY, VerdictState.HELD, VerdictState.HEALTHY, VerdictState.TOLERATED)
            for subject in some
        ]

    def ends(self, report: GateReport) -> Iterator[datetime]:
        """When somebody's time to wait is over."""
        for (candidate, _), verdict in zip(self._subjects, report.verdicts, strict=True):
            for since in (self._since(candidate), self.started) if not verdict.state.final else ():
                for minutes in (self._pace.patience, self._pace.deadline):
                    if (end := since + timedelta(minutes=minutes)) > report.at:
                        yield end

    def _since(self, candidate: Candidate) -> datetime:
        return candidate.since or self.started


def _answered(platform_verdict: PlatformVerdict, approval: Approval) -> PlatformVerdict:
    if platform_verdict.state is not VerdictState.ASKING:
        return platform_verdict
    state = VerdictState.APPROVED if approval.approved else VerdictState.UNVERIFIED
    return replace(platform_verdict, state=state, reason=f"{platform_verdict.reason}; {approval.words}")

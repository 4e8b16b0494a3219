"""Waits for a release's verdict.

The wait keeps no state between runs. It asks the sources again, and counts the time from each image's arrival in
quarantine, so a repeated run continues from the current evidence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pratique.gate.approval import Approval
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation, Subject, with_earlier_findings, with_findings_of_index
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

    @property
    def indexes(self) -> list[Subject]:
        """The indexes above these digests. They need no proof, but Defender may name one of them in its findings."""
        return [Subject(self.registry, self.repository, digest) for digest in self.image.indexes]


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

    :ivar at: when the oldest of the questions was asked on whose answers the verdicts rest
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


#: States in which a narrow source is not needed: it cannot change them, or has proven them.
_DECIDED = (VerdictState.UNHEALTHY, VerdictState.HELD, VerdictState.HEALTHY, VerdictState.TOLERATED)

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
    assessment = _Assessment(release, candidates, rules, wait_policy, poller)
    due = quiet_since = assessment.started
    before: GateReport | None = None
    renewed = False
    while True:
        await assessment.ask(due)
        at = poller.clock.now()
        report = assessment.report(at)
        if before is None or report.verdicts != before.verdicts:
            quiet_since = at
            await progress(report)
        before = report
        if wait_policy.fail_fast and report.blocked:
            return report
        if all(verdict.state.final for verdict in report.verdicts):
            if renewed or not assessment.renew(at):
                return report
            renewed, due = True, at
        else:
            due = min([wait_policy.next_poll(at, quiet_since), *assessment.deadlines(report, at)])


async def assess_once(
    release: str, candidates: Sequence[Candidate], rules: Rules, wait_policy: WaitPolicy, *, poller: EvidencePoller
) -> GateReport:
    """The gate's verdicts without waiting for anything; they may not be final.

    :raises PratiqueError: when a source cannot be asked at all
    """
    assessment = _Assessment(release, candidates, rules, wait_policy, poller)
    await assessment.ask(assessment.started)
    return assessment.report(poller.clock.now())


class _Assessment:
    """The evidence on a release's images so far, and the verdicts that follow from it.

    :ivar started: when the wait began
    """

    def __init__(
        self,
        release: str,
        candidates: Sequence[Candidate],
        rules: Rules,
        wait_policy: WaitPolicy,
        poller: EvidencePoller,
    ) -> None:
        self._release = release
        self._subjects = [(candidate, candidate.subjects(rules.platforms)) for candidate in candidates]
        self._rules = rules
        self._wait_policy = wait_policy
        self._poller = poller
        self.started = self._asking_since = poller.clock.now()
        indexes = [index for candidate in candidates for index in candidate.indexes]
        self._known: Evidence = {s: {} for s in [*(s for _, some in self._subjects for s in some), *indexes]}
        self._outdated: frozenset[Subject] = frozenset()
        poller.forget(self._known)  # a scan of an earlier wait is not today's word

    async def ask(self, due: datetime) -> None:
        """Ask the sources, when the next round is due.

        :raises PratiqueError: when a source cannot be asked at all
        """
        if self._rules.sources and self._known:
            self.add(await self._poller.poll(self._known, self.undecided, due))
            self._outdated = frozenset()

    def renew(self, at: datetime) -> bool:
        """Whether answers have become too old for a verdict. Every source is asked again about these digests next."""
        oldest = at - timedelta(minutes=self._rules.policy.maximum_verdict_age)
        self._outdated = frozenset(s for s in self._known if (asked := self._asked_at([s])) and asked < oldest)
        if self._outdated:
            self._asking_since = at
        return bool(self._outdated)

    def add(self, evidence: Evidence) -> None:
        """Add evidence. What a source reported earlier in this wait still counts when it is silent about it now."""
        for subject, observations in evidence.items():
            before = self._known[subject]
            for name, observation in observations.items():
                if name in before:
                    observation = with_earlier_findings(observation, before[name])
                before[name] = observation

    def report(self, at: datetime, latest: Evidence | None = None) -> GateReport:
        """The verdicts on the evidence so far, and on the latest evidence if it is given."""
        known = {s: said | (latest or {}).get(s, {}) for s, said in self._known.items()}
        verdicts = []
        for candidate, subjects in self._subjects:
            evidence = {s.digest: _with_indexes(known[s], candidate.indexes, known) for s in subjects}
            wait = Wait(
                at=at,
                since=self._since(candidate),
                started=self._asking_since,
                patience=self._wait_policy.patience,
                deadline=self._wait_policy.deadline,
            )
            verdicts.append(evaluate_image(candidate.image, evidence, self._rules, wait))
        asked_at = self._asked_at(self._known) or at
        return GateReport(release=self._release, verdicts=tuple(verdicts), rules=self._rules, at=asked_at)

    def undecided(self, latest: Evidence) -> Collection[Subject]:
        """The subjects to ask the narrow sources about: those whose verdict they can change, and outdated ones.

        Neither those that block nor those proven are undecided.
        """
        so_far = self.report(self._poller.clock.now(), latest)
        return [
            subject
            for (_, subjects), verdict in zip(self._subjects, so_far.verdicts, strict=True)
            for subject in subjects
            if subject in self._outdated or verdict.state not in _DECIDED
        ]

    def deadlines(self, report: GateReport, at: datetime) -> Iterator[datetime]:
        """The times after ``at`` at which the wait for an image ends."""
        for (candidate, _), verdict in zip(self._subjects, report.verdicts, strict=True):
            for since in (self._since(candidate), self._asking_since) if not verdict.state.final else ():
                for minutes in (self._wait_policy.patience, self._wait_policy.deadline):
                    if (end := since + timedelta(minutes=minutes)) > at:
                        yield end

    def _since(self, candidate: Candidate) -> datetime:
        return candidate.since or self.started

    def _asked_at(self, subjects: Collection[Subject]) -> datetime | None:
        """When the oldest question about the subjects was asked; ``None`` when none was."""
        times = (said.asked_at for subject in subjects for said in self._known[subject].values())
        return min(filter(None, times), default=None)


def _with_indexes(
    own: Mapping[str, Observation], indexes: Collection[Subject], known: Evidence
) -> tuple[Observation, ...]:
    """What the sources report about a manifest and about the indexes above it."""
    observations = []
    for name, observation in own.items():
        for index in indexes:
            if (about_index := known[index].get(name)) is not None:
                observation = with_findings_of_index(observation, index.digest, about_index)
        observations.append(observation)
    return tuple(observations)


def _with_approval(image: str, platform_verdict: PlatformVerdict, approval: Approval, at: datetime) -> PlatformVerdict:
    if not platform_verdict.state.asks:
        return platform_verdict
    gap = approval.gap(image, platform_verdict, at) if approval.approved else ""
    approved = VerdictState.BREAK_GLASS if platform_verdict.break_glass else VerdictState.APPROVED
    state = approved if approval.approved and not gap else VerdictState.UNVERIFIED
    reasons = (platform_verdict.reason, gap, approval.description)
    return replace(platform_verdict, state=state, reason="; ".join(filter(None, reasons)))

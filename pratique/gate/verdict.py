"""What evidence means under a policy: pure decisions.

The observations of each required platform's digest become a :class:`PlatformVerdict`. The worst of an image's platform
verdicts is its :class:`ImageVerdict`. Absence is not health: nothing passes without a proof that the policy accepts, or
a person who answers for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pratique.findings import Finding, Fix, Severity, merged, worst_first
from pratique.gate.evidence import Observation, contradictions, prove
from pratique.gate.exceptions.file import AcceptedKind
from pratique.gate.exceptions.lookup import Exceptions, Waiver
from pratique.gate.holds import NO_HOLDS, Hold, Holds
from pratique.gate.policy import Limits, Policy
from pratique.images import PlatformManifest, ResolvedImage


class VerdictState(StrEnum):
    """How far an image, or one of its platforms, has come at the gate; the later ones outweigh the earlier."""

    HEALTHY = "Healthy"
    TOLERATED = "Unhealthy, within policy"
    SKIPPED = "Skipped"
    ACCEPTED = "Unassessed, accepted"
    APPROVED = "Unassessed, approved"
    ASKING = "Asking a person"
    PENDING = "Pending"
    UNVERIFIED = "Unverified"
    NOT_APPLICABLE = "NotApplicable"
    HELD = "Held"
    UNHEALTHY = "Unhealthy"

    @property
    def passes(self) -> bool:
        return self in _PASSING

    @property
    def final(self) -> bool:
        """Whether waiting longer has no point."""
        return self is not VerdictState.PENDING

    @property
    def blocks(self) -> bool:
        return self in (VerdictState.UNVERIFIED, VerdictState.NOT_APPLICABLE, VerdictState.HELD, VerdictState.UNHEALTHY)

    @property
    def rank(self) -> int:
        return _RANKS[self]


_PASSING = frozenset(
    {VerdictState.HEALTHY, VerdictState.TOLERATED, VerdictState.SKIPPED, VerdictState.ACCEPTED, VerdictState.APPROVED}
)
_RANKS = {state: rank for rank, state in enumerate(VerdictState)}


@dataclass(frozen=True)
class WaivedFinding:
    """A finding that does not count, and why.

    :ivar waiver: ``None`` when the policy ignores it because there is no fix
    """

    finding: Finding
    waiver: Waiver | None

    def __str__(self) -> str:
        if self.waiver is None:
            return f"{self.finding}: the policy ignores what has no fix"
        by = self.waiver.approver or self.waiver.owner
        return f"{self.finding}: excused by {by} until {self.waiver.until}, {self.waiver.reason}"


@dataclass(frozen=True)
class PlatformVerdict:
    """One required platform of an image.

    :ivar digest: empty when the image lacks the platform
    :ivar counted: findings that the limits apply to
    :ivar expired: exceptions that would still apply if they had not expired
    :ivar acceptance: why it passes unassessed
    :ivar notes: contradictions, and what was seen and did not count
    """

    platform: str
    digest: str
    state: VerdictState
    reason: str
    counted: tuple[Finding, ...] = ()
    waived: tuple[WaivedFinding, ...] = ()
    expired: tuple[Waiver, ...] = ()
    acceptance: Waiver | None = None
    notes: tuple[str, ...] = ()
    observations: tuple[Observation, ...] = ()


@dataclass(frozen=True)
class ImageVerdict:
    """What the gate decided about one image.

    :ivar others: its platforms that nobody asked for
    """

    image: ResolvedImage
    platforms: tuple[PlatformVerdict, ...]
    others: tuple[str, ...] = ()

    @property
    def _worst(self) -> PlatformVerdict:
        return max(self.platforms, key=lambda platform_verdict: platform_verdict.state.rank)

    @property
    def state(self) -> VerdictState:
        return self._worst.state

    @property
    def reason(self) -> str:
        return self._worst.reason

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What counts, on any platform."""
        return merged(finding for platform_verdict in self.platforms for finding in platform_verdict.counted)


@dataclass(frozen=True)
class Rules:
    """By what an image is judged.

    :ivar asked: names of the configured sources
    :ivar provenance: of each file of exceptions, how it stands under Git
    :ivar holds: what a rescan of ``live/`` refuses
    """

    policy: Policy
    platforms: tuple[str, ...]
    asked: frozenset[str]
    exceptions: Exceptions = field(default_factory=Exceptions)
    provenance: tuple[tuple[str, str], ...] = ()
    holds: Holds = field(default_factory=lambda: NO_HOLDS)

    @property
    def skipped(self) -> bool:
        """Defender is off, the policy says to go on, and nobody else can be asked."""
        return not self.asked

    def by_others(self, asked: frozenset[str]) -> Rules:
        """The same when only some sources can be had: where the policy named none of them, any of them suffices."""
        required = tuple(name for name in self.policy.required_sources if name in asked)
        sufficient = tuple(name for name in self.policy.sufficient_sources if name in asked)
        if not (required or sufficient):
            sufficient = tuple(sorted(asked))
        policy = self.policy.model_copy(update={"required_sources": required, "sufficient_sources": sufficient})
        return replace(self, policy=policy, asked=asked)


@dataclass(frozen=True)
class Wait:
    """How long an image has been waited for.

    :ivar since: when it arrived in quarantine
    :ivar started: when this gate began to ask
    :ivar patience: minutes after which an acceptance stands in for missing proof
    :ivar deadline: minutes after which missing proof makes the image Unverified
    """

    now: datetime
    since: datetime
    started: datetime
    patience: float
    deadline: float

    @property
    def impatient(self) -> bool:
        return self.now >= self.since + timedelta(minutes=min(self.patience, self.deadline))

    @property
    def over(self) -> bool:
        return self.now >= self.since + timedelta(minutes=self.deadline)

    @property
    def over_in_doubt(self) -> bool:
        """A source that cannot be asked gets time to recover, also in a run that finds the deadline long past."""
        return self.over and self.now >= self.started + timedelta(minutes=min(self.patience, self.deadline))


def decide(
    image: ResolvedImage, evidence: Mapping[str, Sequence[Observation]], rules: Rules, wait: Wait
) -> ImageVerdict:
    """Decide about one image.

    :param evidence: observations by digest
    """
    required, missing = required_manifests(image, rules.platforms)
    platforms = [
        PlatformVerdict(platform, "", VerdictState.UNVERIFIED, f"the image has no manifest for {platform}")
        for platform in missing
    ]
    for manifest in required:
        observations = evidence.get(manifest.digest, ())
        platforms.append(judge(replace(image, platforms=(manifest,)), observations, rules, wait))
    others = tuple(one.platform for one in image.platforms if one not in required)
    return ImageVerdict(image, tuple(platforms), others)


def required_manifests(
    image: ResolvedImage, platforms: Iterable[str]
) -> tuple[tuple[PlatformManifest, ...], tuple[str, ...]]:
    """The manifests that need a verdict, and the platforms that the image does not have.

    An index may name several for one platform, and a platform without a variant stands for all of them; which one a
    node takes is the node's choice: all are judged.
    An image for a single platform is judged as it is: there is nothing else that a cluster could run.
    """
    if len(image.platforms) == 1 and image.platforms[0].digest == image.digest:
        return image.platforms, ()
    wanted = {platform: _offered(image, platform) for platform in platforms}
    required = dict.fromkeys(
        manifest for manifest in image.platforms if any(manifest in some for some in wanted.values())
    )
    return tuple(required), tuple(platform for platform, some in wanted.items() if not some)


def _offered(image: ResolvedImage, platform: str) -> tuple[PlatformManifest, ...]:
    return tuple(one for one in image.platforms if f"{one.platform}/".startswith(f"{platform}/"))


def judge(image: ResolvedImage, observations: Sequence[Observation], rules: Rules, wait: Wait) -> PlatformVerdict:
    """What the observations of one digest mean.

    :param image: narrowed to the one manifest with that digest
    """
    (manifest,) = image.platforms
    platform, digest = manifest.platform, manifest.digest
    hold = _hold(image, rules, wait.now)
    if rules.skipped and hold is None:
        return PlatformVerdict(
            platform, digest, VerdictState.SKIPPED, "Defender is off, and the policy says to go on without"
        )
    observations = sorted(observations, key=lambda one: one.source)
    findings = merged(finding for one in observations for finding in one.findings)
    counted, waived = _weighed(findings, image, rules, wait.now)
    expired = [waiver for f in counted if (waiver := rules.exceptions.expired(f, image, wait.now)) is not None]
    state, reason, acceptance = _state(image, observations, counted, waived, rules, wait)
    if hold is not None and state is not VerdictState.UNHEALTHY:
        state, reason, acceptance = VerdictState.HELD, hold.words, None
    if expired and state is VerdictState.UNHEALTHY:
        reason += f"; {_plural(len(expired), 'exception')} of theirs expired"
    notes = dict.fromkeys(note for one in observations for note in one.notes)
    return PlatformVerdict(
        platform,
        digest,
        state,
        reason,
        counted=counted,
        waived=waived,
        expired=tuple(dict.fromkeys(expired)),
        acceptance=acceptance,
        notes=(*contradictions(observations), *notes),
        observations=tuple(observations),
    )


def _hold(image: ResolvedImage, rules: Rules, now: datetime) -> Hold | None:
    """What keeps the image out whatever is known of it here: a hold, unless exceptions cover all that it is for."""
    hold = next((rules.holds[digest] for digest in _digests(image) if digest in rules.holds), None)
    if hold is None or (hold.findings and all(rules.exceptions.waiver(one, image, now) for one in hold.findings)):
        return None
    return hold


def _digests(image: ResolvedImage) -> tuple[str, ...]:
    return (*(one.digest for one in image.platforms), image.digest)


def excess(findings: Collection[Finding], limits: Limits) -> tuple[Finding, ...]:
    """The findings of every severity of which there are more than its limit, and those that are worse.

    A finding takes up the limits of all severities up to its own: otherwise a finding that is rated worse, by somebody
    or later, could make room for another. Unknown severity counts as critical.
    """
    allowed = {
        Severity.CRITICAL: limits.critical,
        Severity.HIGH: limits.high,
        Severity.MEDIUM: limits.medium,
        Severity.LOW: limits.low,
    }
    beyond: set[Finding] = set()
    for severity, most in allowed.items():
        found = {finding for finding in findings if finding.severity >= severity}
        if most is not None and len(found) > most:
            beyond |= found
    return worst_first(beyond)


def _weighed(
    findings: Sequence[Finding], image: ResolvedImage, rules: Rules, now: datetime
) -> tuple[tuple[Finding, ...], tuple[WaivedFinding, ...]]:
    counted: list[Finding] = []
    waived: list[WaivedFinding] = []
    for finding in findings:
        waiver = rules.exceptions.waiver(finding, image, now)
        if waiver is not None or (rules.policy.ignore_unfixed and finding.fix is Fix.NONE):
            waived.append(WaivedFinding(finding, waiver))
        else:
            counted.append(finding)
    return tuple(counted), tuple(waived)


def _state(
    image: ResolvedImage,
    observations: Sequence[Observation],
    counted: Sequence[Finding],
    waived: Sequence[WaivedFinding],
    rules: Rules,
    wait: Wait,
) -> tuple[VerdictState, str, Waiver | None]:
    beyond = excess(counted, rules.policy.limits)
    if beyond:
        return VerdictState.UNHEALTHY, f"{_plural(len(beyond), 'finding')} beyond the limits", None
    proof = prove(observations, rules.policy, rules.asked, wait.now)
    if proof.given and not (counted or waived):
        return VerdictState.HEALTHY, "assessed, nothing found", None
    if proof.given:
        reason = f"assessed, {_plural(len(counted), 'finding')} within the limits"
        return VerdictState.TOLERATED, reason + (f", {len(waived)} excused" if waived else ""), None
    if proof.in_doubt:
        state = VerdictState.UNVERIFIED if wait.over_in_doubt else VerdictState.PENDING
        return _asked_or(state, rules.policy.unverified), proof.missing, None
    state = VerdictState.NOT_APPLICABLE if proof.not_applicable else VerdictState.UNVERIFIED
    return _unproven(image, state, proof.not_applicable or proof.missing, counted, rules, wait)


def _unproven(
    image: ResolvedImage, state: VerdictState, reason: str, counted: Sequence[Finding], rules: Rules, wait: Wait
) -> tuple[VerdictState, str, Waiver | None]:
    """An acceptance stands in for missing proof, never for findings: what has findings can be assessed."""
    kind: AcceptedKind = "not-applicable" if state is VerdictState.NOT_APPLICABLE else "unverified"
    accepted = None if counted else rules.exceptions.acceptance(image, kind, wait.now)
    patient = not wait.impatient if accepted or state is VerdictState.NOT_APPLICABLE else not wait.over
    if patient:
        return VerdictState.PENDING, reason, None
    if accepted:
        words = f"accepted by {accepted.approver} until {accepted.until}: {accepted.reason}"
        return VerdictState.ACCEPTED, f"not assessed ({reason}); {words}", accepted
    if counted:
        reason = f"{_plural(len(counted), 'finding')} within the limits, but the scan is not proven complete: {reason}"
    expired = rules.exceptions.expired_acceptance(image, kind, wait.now)
    if expired:
        reason += f"; its acceptance expired at {expired.expires:%Y-%m-%d %H:%M} UTC"
    rule = rules.policy.not_applicable if state is VerdictState.NOT_APPLICABLE else rules.policy.unverified
    return _asked_or(state, rule), reason, None


def _asked_or(state: VerdictState, rule: str) -> VerdictState:
    return VerdictState.ASKING if rule == "ask" and state.blocks else state


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"

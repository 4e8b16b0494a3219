"""What evidence means under a policy: pure decisions.

The observations of each required platform's digest become a :class:`Judgement`, and the worst of an image's judgements
is its :class:`Decision`. Absence is not health: nothing passes without a proof that the policy accepts, or somebody who
answers for letting it pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pratique.findings import Finding, Fix, Severity, merged, worst_first
from pratique.gate.evidence import Observation, contradictions, prove
from pratique.gate.exceptions.file import Unassessed
from pratique.gate.exceptions.lookup import Exceptions, Excuse
from pratique.gate.holds import NO_HOLDS, Hold, Holds
from pratique.gate.policy import Limits, Policy
from pratique.images import PlatformManifest, ResolvedImage


class State(StrEnum):
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
        return self is not State.PENDING

    @property
    def blocks(self) -> bool:
        return self in (State.UNVERIFIED, State.NOT_APPLICABLE, State.HELD, State.UNHEALTHY)

    @property
    def rank(self) -> int:
        return _RANKS[self]


_PASSING = frozenset({State.HEALTHY, State.TOLERATED, State.SKIPPED, State.ACCEPTED, State.APPROVED})
_RANKS = {state: rank for rank, state in enumerate(State)}


@dataclass(frozen=True)
class Excused:
    """A finding that does not count, and why.

    :ivar excuse: ``None`` when the policy ignores it because there is no fix
    """

    finding: Finding
    excuse: Excuse | None

    def __str__(self) -> str:
        if self.excuse is None:
            return f"{self.finding}: the policy ignores what has no fix"
        by = self.excuse.approver or self.excuse.owner
        return f"{self.finding}: excused by {by} until {self.excuse.until}, {self.excuse.reason}"


@dataclass(frozen=True)
class Judgement:
    """One required platform of an image.

    :ivar digest: empty when the image lacks the platform
    :ivar counted: findings that the limits apply to
    :ivar lapsed: exceptions that would still apply if they had not expired
    :ivar acceptance: why it passes unassessed
    :ivar notes: contradictions, and what was seen and did not count
    """

    platform: str
    digest: str
    state: State
    reason: str
    counted: tuple[Finding, ...] = ()
    excused: tuple[Excused, ...] = ()
    lapsed: tuple[Excuse, ...] = ()
    acceptance: Excuse | None = None
    notes: tuple[str, ...] = ()
    observations: tuple[Observation, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What the gate decided about one image.

    :ivar others: its platforms that nobody asked for
    """

    image: ResolvedImage
    judgements: tuple[Judgement, ...]
    others: tuple[str, ...] = ()

    @property
    def _worst(self) -> Judgement:
        return max(self.judgements, key=lambda judgement: judgement.state.rank)

    @property
    def state(self) -> State:
        return self._worst.state

    @property
    def reason(self) -> str:
        return self._worst.reason

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What counts, on any platform."""
        return merged(finding for judgement in self.judgements for finding in judgement.counted)


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


def decide(image: ResolvedImage, evidence: Mapping[str, Sequence[Observation]], rules: Rules, wait: Wait) -> Decision:
    """Decide about one image.

    :param evidence: observations by digest
    """
    required, missing = required_manifests(image, rules.platforms)
    judgements = [
        Judgement(platform, "", State.UNVERIFIED, f"the image has no manifest for {platform}") for platform in missing
    ]
    for manifest in required:
        observations = evidence.get(manifest.digest, ())
        judgements.append(judge(replace(image, platforms=(manifest,)), observations, rules, wait))
    others = tuple(one.platform for one in image.platforms if one not in required)
    return Decision(image, tuple(judgements), others)


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


def judge(image: ResolvedImage, observations: Sequence[Observation], rules: Rules, wait: Wait) -> Judgement:
    """What the observations of one digest mean.

    :param image: narrowed to the one manifest with that digest
    """
    (manifest,) = image.platforms
    platform, digest = manifest.platform, manifest.digest
    hold = _hold(image, rules, wait.now)
    if rules.skipped and hold is None:
        return Judgement(platform, digest, State.SKIPPED, "Defender is off, and the policy says to go on without")
    observations = sorted(observations, key=lambda one: one.source)
    findings = merged(finding for one in observations for finding in one.findings)
    counted, excused = _weighed(findings, image, rules, wait.now)
    lapsed = [excuse for f in counted if (excuse := rules.exceptions.lapsed(f, image, wait.now)) is not None]
    state, reason, acceptance = _state(image, observations, counted, excused, rules, wait)
    if hold is not None and state is not State.UNHEALTHY:
        state, reason, acceptance = State.HELD, hold.words, None
    if lapsed and state is State.UNHEALTHY:
        reason += f"; {_plural(len(lapsed), 'exception')} of theirs expired"
    notes = dict.fromkeys(note for one in observations for note in one.notes)
    return Judgement(
        platform,
        digest,
        state,
        reason,
        counted=counted,
        excused=excused,
        lapsed=tuple(dict.fromkeys(lapsed)),
        acceptance=acceptance,
        notes=(*contradictions(observations), *notes),
        observations=tuple(observations),
    )


def _hold(image: ResolvedImage, rules: Rules, now: datetime) -> Hold | None:
    """What keeps the image out whatever is known of it here: a hold, unless exceptions cover all that it is for."""
    hold = next((rules.holds[digest] for digest in _digests(image) if digest in rules.holds), None)
    if hold is None or (hold.findings and all(rules.exceptions.excuse(one, image, now) for one in hold.findings)):
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
) -> tuple[tuple[Finding, ...], tuple[Excused, ...]]:
    counted: list[Finding] = []
    excused: list[Excused] = []
    for finding in findings:
        excuse = rules.exceptions.excuse(finding, image, now)
        if excuse is not None or (rules.policy.ignore_unfixed and finding.fix is Fix.NONE):
            excused.append(Excused(finding, excuse))
        else:
            counted.append(finding)
    return tuple(counted), tuple(excused)


def _state(
    image: ResolvedImage,
    observations: Sequence[Observation],
    counted: Sequence[Finding],
    excused: Sequence[Excused],
    rules: Rules,
    wait: Wait,
) -> tuple[State, str, Excuse | None]:
    beyond = excess(counted, rules.policy.limits)
    if beyond:
        return State.UNHEALTHY, f"{_plural(len(beyond), 'finding')} beyond the limits", None
    proof = prove(observations, rules.policy, rules.asked, wait.now)
    if proof.given and not (counted or excused):
        return State.HEALTHY, "assessed, nothing found", None
    if proof.given:
        reason = f"assessed, {_plural(len(counted), 'finding')} within the limits"
        return State.TOLERATED, reason + (f", {len(excused)} excused" if excused else ""), None
    if proof.in_doubt:
        state = State.UNVERIFIED if wait.over_in_doubt else State.PENDING
        return _asked_or(state, rules.policy.unverified), proof.missing, None
    state = State.NOT_APPLICABLE if proof.not_applicable else State.UNVERIFIED
    return _unproven(image, state, proof.not_applicable or proof.missing, counted, rules, wait)


def _unproven(
    image: ResolvedImage, state: State, reason: str, counted: Sequence[Finding], rules: Rules, wait: Wait
) -> tuple[State, str, Excuse | None]:
    """An acceptance stands in for missing proof, never for findings: what has findings can be assessed."""
    kind: Unassessed = "not-applicable" if state is State.NOT_APPLICABLE else "unverified"
    accepted = None if counted else rules.exceptions.acceptance(image, kind, wait.now)
    patient = not wait.impatient if accepted or state is State.NOT_APPLICABLE else not wait.over
    if patient:
        return State.PENDING, reason, None
    if accepted:
        words = f"accepted by {accepted.approver} until {accepted.until}: {accepted.reason}"
        return State.ACCEPTED, f"not assessed ({reason}); {words}", accepted
    if counted:
        reason = f"{_plural(len(counted), 'finding')} within the limits, but the scan is not proven complete: {reason}"
    lapsed = rules.exceptions.lapsed_acceptance(image, kind, wait.now)
    if lapsed:
        reason += f"; its acceptance expired at {lapsed.expires:%Y-%m-%d %H:%M} UTC"
    rule = rules.policy.not_applicable if state is State.NOT_APPLICABLE else rules.policy.unverified
    return _asked_or(state, rule), reason, None


def _asked_or(state: State, rule: str) -> State:
    return State.ASKING if rule == "ask" and state.blocks else state


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"

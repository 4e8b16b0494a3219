"""Evaluates evidence under the rules: pure decisions.

The observations of each required platform's digest become a :class:`.PlatformVerdict`, and the platforms of an image an
:class:`.ImageVerdict`. Absence is not health: nothing passes without a proof that the policy accepts, an acceptance or
approval by a person, or a break-glass entry that a second person agrees to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pratique.findings import Finding, Fix, Severity, merged, worst_first
from pratique.gate.evidence import Observation, contradictions, prove
from pratique.gate.exceptions.break_glass import BreakGlass
from pratique.gate.exceptions.file import AcceptedKind
from pratique.gate.exceptions.lookup import Waiver
from pratique.gate.holds import Hold
from pratique.gate.policy import Limits, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, VerdictState, WaivedFinding
from pratique.images import ResolvedImage
from pratique.platforms import required_manifests


@dataclass(frozen=True)
class _Decision:
    """The state of one digest, and what it rests on."""

    state: VerdictState
    reason: str
    acceptance: Waiver | None = None
    break_glass: BreakGlass | None = None


def evaluate_image(
    image: ResolvedImage, evidence: Mapping[str, Sequence[Observation]], rules: Rules, wait: Wait
) -> ImageVerdict:
    """The verdict on an image.

    :param evidence: observations by digest
    """
    required, missing = required_manifests(image, rules.platforms)
    platforms = [
        PlatformVerdict(
            platform=platform,
            digest="",
            state=VerdictState.UNVERIFIED,
            reason=f"the image has no manifest for {platform}",
        )
        for platform in missing
    ]
    others = [manifest for manifest in image.platforms if manifest not in required]
    contents = tuple(digest for digest in image.contents if digest not in {manifest.digest for manifest in others})
    for manifest in required:
        narrowed = replace(image, platforms=(manifest,), contents=contents)
        platforms.append(evaluate_platform(narrowed, evidence.get(manifest.digest, ()), rules, wait))
    return ImageVerdict(image, tuple(platforms), tuple(manifest.platform for manifest in others))


def evaluate_platform(
    image: ResolvedImage, observations: Sequence[Observation], rules: Rules, wait: Wait
) -> PlatformVerdict:
    """The verdict on one digest.

    :param image: with ``platforms`` narrowed to the manifest with that digest, and ``contents`` to what holds count for
    """
    (manifest,) = image.platforms
    platform, digest = manifest.platform, manifest.digest
    holds = _holds(image, rules, wait.at)
    if rules.skipped and not holds:
        return PlatformVerdict(
            platform=platform,
            digest=digest,
            state=VerdictState.SKIPPED,
            reason="Defender is off, and the policy skips the scan",
        )
    observations = sorted(observations, key=lambda observation: observation.source)
    findings = merged(finding for observation in observations for finding in observation.findings)
    counted, waived = _split_by_waiver(findings, image, rules, wait.at)
    expired = [waiver for f in counted if (waiver := rules.exceptions.expired(f, image, wait.at)) is not None]
    decision = _decide(image, observations, counted, waived, rules, wait)
    if holds and decision.state is not VerdictState.UNHEALTHY:
        decision = _Decision(VerdictState.HELD, "; ".join(hold.description for hold in holds))
    if expired and decision.state is VerdictState.UNHEALTHY:
        reason = f"{decision.reason}; {_plural(len(expired), 'exception')} for them expired"
        decision = replace(decision, reason=reason)
    notes = dict.fromkeys(note for observation in observations for note in observation.notes)
    return PlatformVerdict(
        platform=platform,
        digest=digest,
        state=decision.state,
        reason=decision.reason,
        counted=counted,
        waived=waived,
        expired=tuple(dict.fromkeys(expired)),
        acceptance=decision.acceptance,
        break_glass=decision.break_glass,
        notes=(*contradictions(observations), *notes),
        observations=tuple(observations),
    )


def _holds(image: ResolvedImage, rules: Rules, at: datetime) -> tuple[Hold, ...]:
    """The holds on the image. One does not apply when exceptions cover all findings that it is for."""
    digests = dict.fromkeys([*(manifest.digest for manifest in image.platforms), image.digest, *image.contents])
    holds = dict.fromkeys(hold for digest in digests for hold in rules.holds.get(digest, ()))
    return tuple(
        hold
        for hold in holds
        if not hold.findings or not all(rules.exceptions.waiver(finding, image, at) for finding in hold.findings)
    )


def excess(findings: Collection[Finding], limits: Limits) -> tuple[Finding, ...]:
    """The findings beyond the limits: for each limit that is exceeded, all findings of its severity or worse.

    A finding counts towards the limits of its own severity and of all milder ones. Otherwise, rating one finding as
    worse could make room for another. Unknown severity counts as critical. No limit has room for a distribution past
    its end of life.
    """
    allowed = {
        Severity.CRITICAL: limits.critical,
        Severity.HIGH: limits.high,
        Severity.MEDIUM: limits.medium,
        Severity.LOW: limits.low,
    }
    beyond = {finding for finding in findings if finding.is_end_of_life}
    for severity, most in allowed.items():
        found = {finding for finding in findings if finding.severity >= severity}
        if most is not None and len(found) > most:
            beyond |= found
    return worst_first(beyond)


def _split_by_waiver(
    findings: Sequence[Finding], image: ResolvedImage, rules: Rules, at: datetime
) -> tuple[tuple[Finding, ...], tuple[WaivedFinding, ...]]:
    counted: list[Finding] = []
    waived: list[WaivedFinding] = []
    for finding in findings:
        waiver = rules.exceptions.waiver(finding, image, at)
        if waiver is not None or _ignored(finding, rules.policy):
            waived.append(WaivedFinding(finding, waiver))
        else:
            counted.append(finding)
    return tuple(counted), tuple(waived)


def _ignored(finding: Finding, policy: Policy) -> bool:
    if finding.is_end_of_life:
        return policy.end_of_life == "warn"
    return policy.ignore_unfixed and finding.fix is Fix.NONE


def _decide(
    image: ResolvedImage,
    observations: Sequence[Observation],
    counted: Sequence[Finding],
    waived: Sequence[WaivedFinding],
    rules: Rules,
    wait: Wait,
) -> _Decision:
    beyond = excess(counted, rules.policy.limits)
    if beyond:
        return _Decision(VerdictState.UNHEALTHY, f"{_plural(len(beyond), 'finding')} beyond the limits")
    proof = prove(observations, rules.policy, rules.sources, wait.at)
    if proof.given and not (counted or waived):
        return _Decision(VerdictState.HEALTHY, "assessed, nothing found")
    if proof.given:
        reason = f"assessed, {_plural(len(counted), 'finding')} within the limits"
        return _Decision(VerdictState.TOLERATED, reason + (f", {len(waived)} waived" if waived else ""))
    if proof.in_doubt:
        state = VerdictState.UNVERIFIED if wait.recovery_over else VerdictState.PENDING
        return _Decision(_ask_or_keep(state, rules.policy.unverified), proof.missing)
    if proof.not_applicable:
        return _unproven(image, VerdictState.NOT_APPLICABLE, proof.not_applicable, counted, rules, wait)
    decision = _unproven(image, VerdictState.UNVERIFIED, proof.missing, counted, rules, wait)
    return decision if decision.state.passes else _break_glass(decision, image, observations, rules, wait)


def _unproven(
    image: ResolvedImage, state: VerdictState, reason: str, counted: Sequence[Finding], rules: Rules, wait: Wait
) -> _Decision:
    """An acceptance replaces missing proof, but never covers findings: an image with findings can be assessed."""
    kind: AcceptedKind = "not-applicable" if state is VerdictState.NOT_APPLICABLE else "unverified"
    accepted = None if counted else rules.exceptions.acceptance(image, kind, wait.at)
    early = accepted is not None or state is VerdictState.NOT_APPLICABLE
    if not (wait.patience_over if early else wait.deadline_over):
        return _Decision(VerdictState.PENDING, reason)
    if accepted:
        acceptance = f"accepted by {accepted.approver} until {accepted.until}: {accepted.reason}"
        return _Decision(VerdictState.ACCEPTED, f"not assessed ({reason}); {acceptance}", accepted)
    if counted:
        reason = f"{_plural(len(counted), 'finding')} within the limits, but the scan is not proven complete: {reason}"
    expired = rules.exceptions.expired_acceptance(image, kind, wait.at)
    if expired:
        reason += f"; its acceptance expired at {expired.expires:%Y-%m-%d %H:%M} UTC"
    rule = rules.policy.not_applicable if state is VerdictState.NOT_APPLICABLE else rules.policy.unverified
    return _Decision(_ask_or_keep(state, rule), reason)


def _break_glass(
    decision: _Decision, image: ResolvedImage, observations: Sequence[Observation], rules: Rules, wait: Wait
) -> _Decision:
    """The decision on an image without proof, of which no source knows anything bad, under its break-glass entry.

    It does not wait for a deadline. A signature that does not count is a sign that somebody tampers with the image.
    """
    entry, objection = rules.break_glass(image, wait.at)
    if entry is not None and (rejected := sorted({name for seen in observations for name in seen.rejected})):
        named = ", ".join(rejected)
        entry, objection = None, f"its break-glass entry does not count: no trusted signature covers {named}"
    if entry is None:
        return replace(decision, reason="; ".join(filter(None, (decision.reason, objection))))
    reason = f"not assessed ({decision.reason}); {entry.description}"
    return _Decision(VerdictState.ASKING_SECOND, reason, break_glass=entry)


def _ask_or_keep(state: VerdictState, rule: str) -> VerdictState:
    return VerdictState.ASKING if rule == "ask" and state.blocks else state


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"

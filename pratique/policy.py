"""What evidence says of an image, and whether that is good enough: pure decisions.

Evidence of one digest becomes a :data:`Verdict` (:func:`judge`), and the verdicts of an image's required platforms
become a :class:`Decision` (:func:`decide`). Absence is not health: the only way to :class:`Healthy` is an artifact that
says that this very digest was scanned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from pratique.config import Acceptance, Limits
from pratique.findings import Finding, Severity
from pratique.images import ResolvedImage


@dataclass(frozen=True)
class Evidence:
    """What the sources know of one digest so far.

    :ivar findings: of all sources together
    :ivar scanned: whether some source proves that the digest was assessed
    :ivar problems: why a source could not be used: an artifact with a bad signature, a registry out of sight
    """

    findings: frozenset[Finding] = frozenset()
    scanned: bool = False
    problems: tuple[str, ...] = ()

    def __or__(self, other: Evidence) -> Evidence:
        """Both together: findings add up, so the worse answer wins."""
        problems = dict.fromkeys((*self.problems, *other.problems))
        return Evidence(self.findings | other.findings, self.scanned or other.scanned, tuple(problems))


@dataclass(frozen=True)
class Healthy:
    """Scanned, and nothing was found."""


@dataclass(frozen=True)
class Unhealthy:
    """Findings; ``complete`` when it is also proven that the scan is through."""

    findings: tuple[Finding, ...]
    complete: bool


@dataclass(frozen=True)
class Unverified:
    """Nobody knows, and the time to find out is over or there was never a way to."""

    reason: str


@dataclass(frozen=True)
class Pending:
    """Nobody knows yet."""

    problems: tuple[str, ...] = ()


Verdict = Healthy | Unhealthy | Unverified | Pending


class State(StrEnum):
    """How far an image has come at the gate."""

    PENDING = "Pending"
    HEALTHY = "Healthy"
    TOLERATED = "Unhealthy, within limits"
    ACCEPTED = "Unverified, accepted"
    UNHEALTHY = "Unhealthy"
    UNVERIFIED = "Unverified"

    @property
    def passes(self) -> bool:
        return self in (State.HEALTHY, State.TOLERATED, State.ACCEPTED)

    @property
    def final(self) -> bool:
        return self is not State.PENDING


@dataclass(frozen=True)
class Decision:
    """What the gate decided about one image.

    :ivar reason: in words, for the report
    :ivar verdicts: of each required platform's digest
    """

    image: ResolvedImage
    state: State
    reason: str
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        found = {f for v in self.verdicts.values() if isinstance(v, Unhealthy) for f in v.findings}
        return tuple(sorted(found, key=lambda f: (-f.severity, f.vulnerability, f.package)))


def judge(evidence: Evidence, *, over: bool) -> Verdict:
    """What the evidence says.

    :param over: whether the time to wait is over
    """
    if evidence.findings:
        ordered = sorted(evidence.findings, key=lambda f: (-f.severity, f.vulnerability, f.package))
        return Unhealthy(tuple(ordered), evidence.scanned)
    if evidence.scanned:
        return Healthy()
    if not over:
        return Pending(evidence.problems)
    return Unverified("; ".join(evidence.problems) or "neither findings nor proof of a scan arrived in time")


def excess(findings: Iterable[Finding], limits: Limits) -> tuple[Finding, ...]:
    """The findings of every severity that has more of them than its limit. Unknown severity counts as critical."""
    by_severity: dict[Severity, list[Finding]] = {}
    for finding in findings:
        by_severity.setdefault(finding.severity, []).append(finding)
    by_severity.setdefault(Severity.CRITICAL, []).extend(by_severity.pop(Severity.UNKNOWN, []))
    allowed = {
        Severity.CRITICAL: limits.critical,
        Severity.HIGH: limits.high,
        Severity.MEDIUM: limits.medium,
        Severity.LOW: limits.low,
    }
    beyond: list[Finding] = []
    for severity, found in by_severity.items():
        most = allowed[severity]
        if most is not None and len(found) > most:
            beyond.extend(found)
    return tuple(sorted(beyond, key=lambda f: (-f.severity, f.vulnerability, f.package)))


def decide(
    image: ResolvedImage,
    evidence: Mapping[str, Evidence],
    *,
    platforms: Iterable[str],
    limits: Limits,
    acceptance: Acceptance | None,
    today: date,
    waited: float,
    patience: float,
    deadline: float,
) -> Decision:
    """Decide about one image.

    :param evidence: by digest
    :param waited: minutes since the gate began to wait
    :param patience: minutes after which a valid acceptance stands in for missing evidence
    :param deadline: minutes after which missing evidence makes the image Unverified
    """
    required, missing = required_manifests(image, platforms)
    if missing:
        return Decision(image, State.UNVERIFIED, f"the image has no manifest for {', '.join(missing)}")
    verdicts = {digest: judge(evidence.get(digest, Evidence()), over=waited >= deadline) for digest in required}
    beyond = [f for v in verdicts.values() if isinstance(v, Unhealthy) for f in excess(v.findings, limits)]
    if beyond:
        count = len(set(beyond))
        return Decision(image, State.UNHEALTHY, f"{count} finding{'s' * (count > 1)} beyond the limits", verdicts)
    if all(isinstance(v, Healthy) for v in verdicts.values()):
        return Decision(image, State.HEALTHY, "scanned, nothing found", verdicts)
    if all(isinstance(v, Healthy) or (isinstance(v, Unhealthy) and v.complete) for v in verdicts.values()):
        return Decision(image, State.TOLERATED, "scanned, findings within the limits", verdicts)
    return _undecided(image, verdicts, acceptance, today, waited, patience, deadline)


def required_manifests(image: ResolvedImage, platforms: Iterable[str]) -> tuple[list[str], list[str]]:
    """The digests that need a verdict, and the platforms that the image does not have.

    An image for a single platform is judged as it is: there is nothing else that a cluster could run.
    """
    if len(image.platforms) == 1 and image.platforms[0].digest == image.digest:
        return [image.digest], []
    offered = {manifest.platform: manifest.digest for manifest in image.platforms}
    wanted = list(platforms)
    return [offered[p] for p in wanted if p in offered], [p for p in wanted if p not in offered]


def _undecided(
    image: ResolvedImage,
    verdicts: Mapping[str, Verdict],
    acceptance: Acceptance | None,
    today: date,
    waited: float,
    patience: float,
    deadline: float,
) -> Decision:
    """Some platform has no complete evidence: an acceptance may stand in for it, findings never do."""
    found = any(isinstance(v, Unhealthy) for v in verdicts.values())
    expired = acceptance is not None and acceptance.expires < today
    if acceptance is not None and not expired and not found and waited >= min(patience, deadline):
        reason = f"not assessed; accepted by {acceptance.approver} until {acceptance.expires}: {acceptance.reason}"
        return Decision(image, State.ACCEPTED, reason, verdicts)
    if waited < deadline:
        problems = dict.fromkeys(p for v in verdicts.values() if isinstance(v, Pending) for p in v.problems)
        return Decision(image, State.PENDING, "; ".join(problems) or "waiting for Defender", verdicts)
    reasons = [v.reason for v in verdicts.values() if isinstance(v, Unverified)]
    if any(isinstance(v, Unhealthy) and not v.complete for v in verdicts.values()):
        reasons.append("findings within the limits, but no proof that the scan is complete")
    if acceptance is not None and expired:
        reasons.append(f"its acceptance expired on {acceptance.expires}")
    return Decision(image, State.UNVERIFIED, "; ".join(dict.fromkeys(reasons)), verdicts)

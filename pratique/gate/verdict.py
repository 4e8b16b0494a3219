"""Verdicts: the gate's answer on an image, and on each required platform of it.

The worst of an image's platform verdicts is its verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from pratique.findings import Finding, merged
from pratique.gate.evidence import Observation
from pratique.gate.exceptions.break_glass import BreakGlass
from pratique.gate.exceptions.lookup import Waiver
from pratique.images import ResolvedImage


class VerdictState(StrEnum):
    """The state of an image, or of one of its platforms, at the gate. A later state outweighs an earlier one."""

    HEALTHY = "Healthy"
    TOLERATED = "Unhealthy, within policy"
    SKIPPED = "Skipped"
    ACCEPTED = "Unassessed, accepted"
    APPROVED = "Unassessed, approved"
    BREAK_GLASS = "Unassessed, break glass"
    ASKING = "Asking a person"
    ASKING_SECOND = "Asking a second person"
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
        """Whether waiting longer cannot change it."""
        return self is not VerdictState.PENDING

    @property
    def asks(self) -> bool:
        """Whether only a person's answer lets it pass."""
        return self in (VerdictState.ASKING, VerdictState.ASKING_SECOND)

    @property
    def blocks(self) -> bool:
        return self in (VerdictState.UNVERIFIED, VerdictState.NOT_APPLICABLE, VerdictState.HELD, VerdictState.UNHEALTHY)

    @property
    def rank(self) -> int:
        return _RANKS[self]


_PASSING = frozenset(
    {
        VerdictState.HEALTHY,
        VerdictState.TOLERATED,
        VerdictState.SKIPPED,
        VerdictState.ACCEPTED,
        VerdictState.APPROVED,
        VerdictState.BREAK_GLASS,
    }
)
_RANKS = {state: rank for rank, state in enumerate(VerdictState)}


@dataclass(frozen=True)
class WaivedFinding:
    """A finding that does not count, with its waiver.

    :ivar waiver: ``None`` when the policy ignores the finding: it has no fix, or is about an end of life
    """

    finding: Finding
    waiver: Waiver | None

    def __str__(self) -> str:
        if self.waiver is None and self.finding.is_end_of_life:
            return f"{self.finding}: the policy only warns of it"
        if self.waiver is None:
            return f"{self.finding}: the policy ignores findings without a fix"
        by = self.waiver.approver or self.waiver.owner
        return f"{self.finding}: waived by {by} until {self.waiver.until}, {self.waiver.reason}"


@dataclass(frozen=True, kw_only=True)
class PlatformVerdict:
    """The verdict on one required platform of an image.

    :ivar digest: empty when the image lacks the platform
    :ivar counted: findings that count towards the limits
    :ivar expired: exceptions that would apply if they had not expired
    :ivar acceptance: the acceptance by which it passes unassessed
    :ivar break_glass: the entry by which it passes unassessed, once a second person agrees
    :ivar notes: contradictions between sources, and evidence that does not count
    """

    platform: str
    digest: str
    state: VerdictState
    reason: str
    counted: tuple[Finding, ...] = ()
    waived: tuple[WaivedFinding, ...] = ()
    expired: tuple[Waiver, ...] = ()
    acceptance: Waiver | None = None
    break_glass: BreakGlass | None = None
    notes: tuple[str, ...] = ()
    observations: tuple[Observation, ...] = ()


@dataclass(frozen=True)
class ImageVerdict:
    """The verdict on one image.

    :ivar others: its platforms that need no verdict
    """

    image: ResolvedImage
    platforms: tuple[PlatformVerdict, ...]
    others: tuple[str, ...] = ()

    @cached_property  # everything that looks at a release asks each image
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
        """The findings that count, on any platform."""
        return merged(finding for platform_verdict in self.platforms for finding in platform_verdict.counted)

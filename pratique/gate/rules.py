"""The rules under which the gate evaluates images, and the time that an image has waited."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pratique.gate.exceptions.break_glass import BreakGlass
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.holds import NO_HOLDS, Holds
from pratique.gate.policy import Policy
from pratique.images import ResolvedImage


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules under which images are evaluated.

    :ivar sources: names of the sources that are asked
    :ivar provenance: each exceptions file with its state in Git
    :ivar holds: digests that the rescan of ``live/`` refuses
    """

    policy: Policy
    platforms: tuple[str, ...]
    sources: frozenset[str]
    exceptions: Exceptions = field(default_factory=Exceptions)
    provenance: tuple[tuple[str, str], ...] = ()
    holds: Holds = field(default_factory=lambda: NO_HOLDS)

    @property
    def skipped(self) -> bool:
        """Whether no source is asked: Defender is off, the policy skips it, and there is no other."""
        return not self.sources

    def break_glass(self, image: ResolvedImage, at: datetime) -> tuple[BreakGlass | None, str]:
        """The break-glass entry that counts for an image at a time; and if there is one that does not count, why."""
        entry = self.exceptions.break_glass_for(image)
        if entry is None:
            return None, ""
        status = dict(self.provenance).get(entry.origin, "")
        objection = entry.objection(at, hours=self.policy.break_glass_hours, status=status)
        return (None, objection) if objection else (entry, "")

    def limited_to(self, sources: frozenset[str]) -> Rules:
        """The rules when only some sources are available. If the policy names none of these, any of them suffices."""
        return replace(self, policy=self.policy.limited_to(sources), sources=sources)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How long the gate has waited for an image.

    :ivar since: when the image arrived in quarantine
    :ivar started: when this gate began to ask its sources
    :ivar patience: minutes after which an acceptance replaces missing proof
    :ivar deadline: minutes after which an image without proof is Unverified
    """

    at: datetime
    since: datetime
    started: datetime
    patience: float
    deadline: float

    @property
    def ends(self) -> tuple[datetime, datetime, datetime]:
        """When the properties below change. The image's and the gate's own times are in no order."""
        patience, deadline = timedelta(minutes=min(self.patience, self.deadline)), timedelta(minutes=self.deadline)
        return self.since + patience, self.since + deadline, self.started + patience

    @property
    def patience_over(self) -> bool:
        return self.at >= self.since + timedelta(minutes=min(self.patience, self.deadline))

    @property
    def deadline_over(self) -> bool:
        return self.at >= self.since + timedelta(minutes=self.deadline)

    @property
    def recovery_over(self) -> bool:
        """Whether a source that could not be asked has had time to recover, also when the deadline is long past."""
        return self.deadline_over and self.at >= self.started + timedelta(minutes=min(self.patience, self.deadline))

"""A person's approval or rejection of a release that only a person can let in, and what the person was shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from pratique.gate.evidence import Observation, SourceStatus
from pratique.gate.exceptions.people import same_person
from pratique.gate.verdict import PlatformVerdict


@dataclass(frozen=True, kw_only=True)
class Item:
    """One platform of an image that only a person can let in.

    :ivar statuses: the status of each source, with the reason where its answer cannot be read
    :ivar findings: severity, identifier and package of each finding so far, within the limits
    :ivar break_glass: the break-glass entry, where one is the reason for the question; else empty
    """

    image: str
    platform: str
    digest: str
    reason: str
    statuses: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    break_glass: str = ""

    @classmethod
    def about(cls, image: str, platform_verdict: PlatformVerdict) -> Item:
        statuses = sorted(_status(observation) for observation in platform_verdict.observations)
        findings = sorted(
            f"{finding.severity.label} {finding.vulnerability} {finding.package}".rstrip()
            for finding in platform_verdict.counted
        )
        return cls(
            image=image,
            platform=platform_verdict.platform,
            digest=platform_verdict.digest,
            reason=platform_verdict.reason,
            statuses=tuple(statuses),
            findings=tuple(findings),
            break_glass=platform_verdict.break_glass.description if platform_verdict.break_glass else "",
        )


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A person's answer about a release.

    :ivar name: who claims to have answered; nothing proves it
    :ivar expires: the last day (UTC) on which an approval counts; for a rejection, the day it was given
    :ivar read_at: when the run read the answer
    :ivar shown: what the person saw; an approval covers nothing else
    """

    approved: bool
    reason: str
    name: str
    expires: date
    read_at: datetime | None = field(default=None, compare=False)
    shown: tuple[Item, ...] = field(default=(), compare=False, repr=False)

    @property
    def description(self) -> str:
        """A sentence for logs and reports."""
        answer = f"approved until {self.expires}" if self.approved else "rejected"
        return f"{answer} by {self.name} (self-asserted): {self.reason}"

    def gap(self, image: str, platform_verdict: PlatformVerdict, at: datetime) -> str:
        """Why the approval does not cover what is known about a platform now; empty when it does.

        :param image: as in the item that was shown
        """
        if at.date() > self.expires:
            return f"the approval expired on {self.expires}"
        if (entry := platform_verdict.break_glass) and same_person(self.name, entry.requested_by):
            return f"{entry.requested_by} asked for it, so another person has to answer than {self.name}"
        now = Item.about(image, platform_verdict)
        shown = next((item for item in self.shown if _subject(item) == _subject(now)), None)
        if shown is None:
            return "the person was not asked about this digest"
        if now.break_glass != shown.break_glass:
            return "since the question its break-glass entry has changed, or no longer counts"
        if findings := sorted({*now.findings} - {*shown.findings}):
            return f"since the question there are new findings: {', '.join(findings)}"
        if statuses := sorted({*now.statuses} - {*shown.statuses}):
            return f"since the question the sources have changed: {', '.join(statuses)}"
        return ""

    def record(self) -> dict[str, Any]:
        """The approval as JSON data."""
        read_at = {"read_at": self.read_at.isoformat() if self.read_at else None}
        return asdict(self) | {"expires": self.expires.isoformat()} | read_at


def _status(observation: Observation) -> str:
    """An answer that cannot be read for another reason may hide something else."""
    unread = observation.status is SourceStatus.UNREADABLE and observation.detail
    return f"{observation.source}: {observation.status}" + (f" ({observation.detail})" if unread else "")


def _subject(item: Item) -> tuple[str, str, str]:
    return item.image, item.platform, item.digest

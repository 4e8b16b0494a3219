"""Break glass: one digest comes into ``live/`` before it is assessed, for some hours, because two people say so.

The first person asks for it with an entry of an exceptions file, which ``pratique break-glass`` writes, and commits the
file to Git::

    break_glass:
      - image: docker.io/library/nginx:1.27@sha256:…
        reason: The certificate of the old version is expired, and Defender has not answered for two hours.
        incident: INC-4711
        requested_by: ada@contoso.com
        opened: 2026-11-23T03:10:00Z
        until: 2026-11-23T07:10:00Z

The second person agrees in Prefect's UI, where the gate asks whatever the policy says about approvals. An entry only
replaces missing proof: what any source knows against the image still blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pratique.errors import ConfigurationError
from pratique.gate.exceptions.exemption import moment
from pratique.images import ImageReference, ResolvedImage

#: What such a promotion rests on, in records.
BREAK_GLASS: Final = "break glass"

#: How a file's Git status begins when the last commit has the file with this content.
_COMMITTED = "commit "


@dataclass(frozen=True, kw_only=True)
class BreakGlass:
    """An entry of ``break_glass``.

    :ivar origin: the file that has it, as the configuration names it
    :ivar image: with its digest, which is that of an index for an image with several platforms
    :ivar requested_by: the first person
    :ivar incident: the ticket
    :ivar opened: since when it counts
    :ivar until: the first moment (UTC) at which it no longer counts
    """

    origin: str
    image: ImageReference
    requested_by: str
    reason: str
    incident: str
    opened: datetime
    until: datetime

    @property
    def digest(self) -> str:
        return self.image.digest or ""

    @property
    def description(self) -> str:
        """For reports: who, what for, until when, why."""
        return (
            f"break glass until {format_minute(self.until)}, asked for by {self.requested_by} for {self.incident}: "
            f"{self.reason}"
        )

    @property
    def data(self) -> dict[str, Any]:
        """What it says, as JSON data."""
        return {
            "image": str(self.image),
            "requestedBy": self.requested_by,
            "reason": self.reason,
            "incident": self.incident,
            "opened": _text(self.opened),
            "until": _text(self.until),
        }

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return self.data | {"file": self.origin}

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> BreakGlass:
        """From its JSON form.

        :raises KeyError, TypeError, ValueError, AttributeError: when it is malformed
        """
        return cls(
            origin=str(entry["file"]),
            image=pinned_reference(str(entry["image"])),
            requested_by=str(entry["requestedBy"]),
            reason=str(entry["reason"]),
            incident=str(entry["incident"]),
            opened=moment(str(entry["opened"])),
            until=moment(str(entry["until"])),
        )

    def covers(self, image: ResolvedImage) -> bool:
        """Whether it names the image: the same bytes, under the same name."""
        own, other = self.image, image.reference
        same_place = (own.registry, own.repository, own.digest) == (other.registry, other.repository, image.digest)
        return same_place and own.tag in (None, other.tag)

    def over(self, at: datetime) -> bool:
        """Whether it no longer counts."""
        return at >= self.until

    def objection(self, at: datetime, *, hours: float, status: str) -> str:
        """Why it does not count, and the next step, for people; empty when it counts.

        :param hours: that the policy lets an entry last
        :param status: of its file in Git
        """
        if self.over(at):
            ended = f"its break-glass entry ended at {format_minute(self.until)}"
            return f"{ended}: wait for an assessment, or replace the entry by a new one ('pratique break-glass')"
        if at < self.opened:
            return f"its break-glass entry counts from {format_minute(self.opened)} on"
        if self.until - self.opened > timedelta(hours=hours):
            return f"its break-glass entry does not count: gate.policy.break_glass_hours is {hours:g}"
        if not status.startswith(_COMMITTED):
            return (
                f"its break-glass entry does not count: {self.origin} is {status or 'not under Git'}; commit the entry"
            )
        return ""


@dataclass(frozen=True, kw_only=True)
class BreakGlassUse:
    """A digest that was let into ``live/`` by break glass, and what was found about it afterwards.

    :ivar approved_by: the second person
    :ivar approval: the second person's reason
    :ivar at: when the second person's answer was read
    :ivar run: id of the flow run; empty until it is recorded
    :ivar verdict: state of the first verdict on an assessment since then; empty while there is none
    :ivar verdict_at: when a rescan gave it
    """

    glass: BreakGlass
    approved_by: str
    approval: str
    at: datetime = field(compare=False)
    run: str = ""
    verdict: str = ""
    verdict_at: datetime | None = None

    @property
    def description(self) -> str:
        """For reports: the entry, and who agreed to it."""
        return f"{self.glass.description}; approved by {self.approved_by} (self-asserted): {self.approval}"

    def same_as(self, other: BreakGlassUse) -> bool:
        """Whether it is the same use on record, whatever was found about the digest afterwards."""
        own, others = self.entry(), other.entry()
        return all(own[name] == others[name] for name in own.keys() - {"at", "verdict", "verdictAt"})

    def overdue(self, at: datetime) -> bool:
        """Whether its hours are over, and nothing was assessed since."""
        return not self.verdict and self.glass.over(at)

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "basis": BREAK_GLASS,
            **self.glass.entry(),
            "approvedBy": self.approved_by,
            "approval": self.approval,
            "at": _text(self.at),
            "run": self.run,
            "verdict": self.verdict,
            "verdictAt": _text(self.verdict_at) if self.verdict_at else None,
        }

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> BreakGlassUse:
        """From its JSON form; raises as :meth:`BreakGlass.read`."""
        return cls(
            glass=BreakGlass.read(entry),
            approved_by=str(entry["approvedBy"]),
            approval=str(entry["approval"]),
            at=moment(str(entry["at"])),
            run=str(entry["run"]),
            verdict=str(entry["verdict"]),
            verdict_at=None if entry["verdictAt"] is None else moment(str(entry["verdictAt"])),
        )


def pinned_reference(text: str) -> ImageReference:
    """Read an image's reference that has a digest.

    :raises ValueError: when it is none, or has no digest
    """
    try:
        reference = ImageReference.parse(text)
    except ConfigurationError as error:
        raise ValueError(f"{error.observed} {error.remedy}") from None
    if reference.digest is None:
        raise ValueError(
            f"a tag can move to an image that nobody looked at: write {reference}@sha256:… with the digest, which "
            "'pratique check' and 'pratique plan' show"
        )
    return reference


def format_minute(at: datetime) -> str:
    """A time in UTC for people."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")

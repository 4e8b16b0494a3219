"""A person's approval or rejection of a release that only a person can let in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A person's answer about a release.

    :ivar name: who claims to have answered; nothing proves it
    :ivar expires: the last day (UTC) on which an approval counts; for a rejection, the day it was given
    :ivar read_at: when the run read the answer
    """

    approved: bool
    reason: str
    name: str
    expires: date
    read_at: datetime | None = field(default=None, compare=False)

    @property
    def description(self) -> str:
        """A sentence for logs and reports."""
        answer = f"approved until {self.expires}" if self.approved else "rejected"
        return f"{answer} by {self.name} (self-asserted): {self.reason}"

    def record(self) -> dict[str, Any]:
        """The approval as JSON data."""
        read_at = {"read_at": self.read_at.isoformat() if self.read_at else None}
        return asdict(self) | {"expires": self.expires.isoformat()} | read_at

"""What a person said about a release that only a person can let in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True)
class Approval:
    """What a person said about a release.

    :ivar name: who says to have answered; nothing proves it
    :ivar expires: the last day (UTC) on which an approval counts; of a rejection its own day
    :ivar read_at: when the run read it
    """

    approved: bool
    reason: str
    name: str
    expires: date
    read_at: datetime | None = field(default=None, compare=False)

    @property
    def words(self) -> str:
        """For logs and reports."""
        said = f"approved until {self.expires}" if self.approved else "rejected"
        return f"{said} by {self.name} (self-asserted): {self.reason}"

    def record(self) -> dict[str, Any]:
        """As JSON."""
        read = {"read_at": self.read_at.isoformat() if self.read_at else None}
        return asdict(self) | {"expires": self.expires.isoformat()} | read

"""How a rescan of ``live/`` reacts to its results.

>>> Sla().days(Severity.CRITICAL), Sla().days(Severity.UNKNOWN), Sla().days(Severity.LOW)
(30, 30, None)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from pratique.config.base import Model
from pratique.findings import Severity

Reaction = Literal["notify", "hold", "propose", "block-pulls"]
Days = Annotated[int, Field(ge=1, le=3650)]


class Sla(Model):
    """Days within which a finding has to be fixed in live/, from when it was first seen (PCI DSS 6.3.3)."""

    critical: Days | None = Field(
        30, description="Days for critical findings and those without a known severity. Leave empty for no limit."
    )
    high: Days | None = Field(30, description="Days for high findings. Leave empty for no limit.")
    medium: Days | None = Field(None, description="Days for medium findings. Leave empty for no limit.")
    low: Days | None = Field(None, description="Days for low findings. Leave empty for no limit.")

    def days(self, severity: Severity) -> int | None:
        """Days within which a finding has to be fixed; ``None`` for no limit."""
        by_severity = {Severity.LOW: self.low, Severity.MEDIUM: self.medium, Severity.HIGH: self.high}
        return by_severity.get(severity, self.critical)

    def due(self, severity: Severity, first_seen: datetime) -> datetime | None:
        """When a finding becomes overdue; ``None`` for never."""
        days = self.days(severity)
        return None if days is None else first_seen + timedelta(days=days)


class Scanning(Model):
    """How the rescan checks the images in live/ every day, and how it reacts to bad ones."""

    reactions: tuple[Reaction, ...] = Field(
        (),
        description="Reactions to bad images beyond the report: notify (inform people), hold (refuse the digest in "
        "releases), propose (push a branch with the newest passing digest), block-pulls (can take production down).",
    )
    sla: Sla = Sla()
    stale_days: Days = Field(
        30,
        description="Days after its push during which Defender rescans an image. After them, an image without a recent "
        "assessment counts as stale.",
    )
    exception_warning_days: Days = Field(
        14, description="Days before the expiry of an exception from which the report warns about it."
    )
    wait: float = Field(
        0, ge=0, description="Minutes to wait for scanners that this worker runs. The rescan never waits for Defender."
    )
    most_blocks: int = Field(
        10,
        ge=1,
        description="Most images whose pulls one run may block. If there are more, it blocks none, as that would be an "
        "outage.",
    )
    block_pulls_referenced: bool = Field(
        False,
        description="Also block pulls of images that the manifests refer to. Their pods will not start again.",
    )

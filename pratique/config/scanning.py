"""What a rescan of ``live/`` does about what it finds: validated data, a part of the configuration.

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
    """Days from the first sight of a finding until its fix has to be in use; empty for no clock (PCI DSS 6.3.3)."""

    critical: Days | None = Field(30, description="Critical, and whatever has no known severity.")
    high: Days | None = Field(30, description="High.")
    medium: Days | None = Field(None, description="Medium.")
    low: Days | None = Field(None, description="Low.")

    def days(self, severity: Severity) -> int | None:
        """How long a finding may stay; ``None`` for ever."""
        by_severity = {Severity.LOW: self.low, Severity.MEDIUM: self.medium, Severity.HIGH: self.high}
        return by_severity.get(severity, self.critical)

    def due(self, severity: Severity, first_seen: datetime) -> datetime | None:
        """When the time of a finding is over; ``None`` for never."""
        days = self.days(severity)
        return None if days is None else first_seen + timedelta(days=days)


class Scanning(Model):
    """How the images in live/ are judged every day, and what is done about bad ones."""

    reactions: tuple[Reaction, ...] = Field(
        (),
        description="Beyond the report: notify (tell people), hold (refuse the digest in releases), propose (a branch "
        "with the newest passing digest), block-pulls (can take production down).",
    )
    sla: Sla = Sla()
    stale_days: Days = Field(
        30, description="Days after its push for which Defender scans an image again, unless it is pulled or runs."
    )
    exception_warning_days: Days = Field(14, description="Days before its end from which an exception is reported.")
    wait: float = Field(
        0, ge=0, description="Minutes to wait for scanners that this worker runs; Defender is not waited for."
    )
    most_blocks: int = Field(
        10, ge=1, description="Images whose pulls one run may block; of more at once none is, for that is an outage."
    )
    block_pulls_referenced: bool = Field(
        False, description="Block pulls of images that the manifests refer to as well: their pods will not restart."
    )

"""Holds: digests that a rescan of ``live/`` found bad, and that releases refuse until the hold is lifted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from pratique.findings import Finding


@dataclass(frozen=True)
class Hold:
    """Why releases refuse a digest.

    :ivar place: the image in ``live/`` that was found bad
    :ivar since: when a rescan placed the hold
    :ivar findings: findings that must be cured, or covered by exceptions, before the hold is lifted
    :ivar unassessed: whether it is held because it came in by break glass, and was not assessed in time
    """

    place: str
    since: datetime
    findings: tuple[Finding, ...]
    unassessed: bool = False

    @property
    def description(self) -> str:
        """A sentence for reasons and reports."""
        if self.unassessed:
            return (
                f"held since {self.since:%Y-%m-%d} because {self.place} came in by break glass and was not assessed in "
                "time; the hold is lifted when a rescan finds a proof of a scan"
            )
        named = ", ".join(finding.vulnerability for finding in self.findings[:5]) or "findings"
        more = f" and {len(self.findings) - 5} more" if len(self.findings) > 5 else ""
        return (
            f"held since {self.since:%Y-%m-%d} because {self.place} has {named}{more}; "
            "the hold is lifted when a rescan finds them cured, or when exceptions cover them"
        )


#: By the digest of an image or of a platform's manifest. Several bad images may have the same manifest.
Holds = Mapping[str, tuple[Hold, ...]]
NO_HOLDS: Holds = MappingProxyType({})

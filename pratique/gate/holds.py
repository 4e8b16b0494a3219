"""Digests that a rescan of ``live/`` has found bad: no release brings them in again until the hold lifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from pratique.findings import Finding


@dataclass(frozen=True)
class Hold:
    """Why a digest is refused.

    :ivar place: where in ``live/`` it was found bad
    :ivar since: when the rescan began to refuse it
    :ivar findings: what has to be cured, or excepted, before it lifts
    """

    place: str
    since: datetime
    findings: tuple[Finding, ...]

    @property
    def words(self) -> str:
        """For reasons and reports."""
        named = ", ".join(finding.vulnerability for finding in self.findings[:5]) or "findings"
        more = f" and {len(self.findings) - 5} more" if len(self.findings) > 5 else ""
        return (
            f"held since {self.since:%Y-%m-%d} because {self.place} has {named}{more}; "
            "it lifts when a rescan finds them cured, or an exception covers them"
        )


#: By the digest of a manifest.
Holds = Mapping[str, Hold]
NO_HOLDS: Holds = MappingProxyType({})

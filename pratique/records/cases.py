"""What rescans know of images in ``live/``: their cases, each with the clock of every finding.

Only images are on file that are, or lately were, bad, held, blocked, stale or unverified. A finding keeps its clock
while it is excused, and for :data:`MEMORY` after it was cured: one that comes back does not get its time anew::

    cases = Cases.parse(text)
    cases.holds["sha256:…"].words
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from pratique.findings import Finding, Fix, Severity
from pratique.gate.holds import Hold
from pratique.images import ImageReference
from pratique.records.document import dump, instant, load, written

FILE = "findings.json"
VERSION = 1
_KEY = "images"

#: How long a cured finding is remembered.
MEMORY = timedelta(days=30)


class Condition(StrEnum):
    """How an image in ``live/`` stands."""

    BAD = "bad"
    #: Bad, but the manifests use another image of its repository, which passes.
    REPLACED = "replaced"
    #: Within the policy, with findings whose clocks run.
    WATCHED = "within policy"
    #: Outside Defender's window: that there are no findings means nothing.
    STALE = "stale"
    UNVERIFIED = "unverified"
    CURED = "cured"


class FindingState(StrEnum):
    """Whether a finding counts."""

    OPEN = "open"
    EXCUSED = "excused"
    CURED = "cured"


@dataclass(frozen=True)
class Tracked:
    """One finding of one image, and its clock.

    :ivar fixed_version: empty when nobody names one
    :ivar first_seen: by a rescan
    :ivar due: when its time is over; ``None`` without a clock
    :ivar at: since when it is in its state
    :ivar notified: whether a rescan has reported that its time is over
    """

    vulnerability: str
    package: str
    fixed_version: str
    severity: Severity
    first_seen: datetime
    due: datetime | None
    state: FindingState
    at: datetime
    notified: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """As :attr:`pratique.findings.Finding.key`."""
        return self.vulnerability.upper(), self.package.lower()

    @property
    def finding(self) -> Finding:
        fix = Fix.AVAILABLE if self.fixed_version else Fix.UNKNOWN
        return Finding(self.vulnerability, self.severity, self.package, "", self.fixed_version, fix)

    def overdue(self, now: datetime) -> bool:
        """Whether it counts and its time is over."""
        return self.state is FindingState.OPEN and self.due is not None and self.due <= now

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Tracked:
        """From its JSON form."""
        return cls(
            str(entry["vulnerability"]),
            str(entry["package"]),
            str(entry["fixedVersion"]),
            Severity.parse(entry["severity"]),
            instant(entry["firstSeen"]),
            None if entry["due"] is None else instant(entry["due"]),
            FindingState(entry["state"]),
            instant(entry["at"]),
            bool(entry["told"]),
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "vulnerability": self.vulnerability,
            "package": self.package,
            "fixedVersion": self.fixed_version,
            "severity": self.severity.label,
            "firstSeen": written(self.first_seen),
            "due": None if self.due is None else written(self.due),
            "state": str(self.state),
            "at": written(self.at),
            "told": self.notified,
        }


@dataclass(frozen=True)
class Case:
    """One image in ``live/`` that rescans keep an eye on.

    :ivar repository: as in the registry, with ``live/``
    :ivar digest: of what its tags name
    :ivar since: when it came into its condition
    :ivar manifests: digests of the platforms' manifests that are bad
    :ivar held: since when releases refuse it
    :ivar blocked: since when pulls of it are blocked by us
    :ivar proposal: branch of the GitOps repository on which we propose another
    """

    registry: str
    repository: str
    tags: tuple[str, ...]
    digest: str
    condition: Condition
    since: datetime
    findings: tuple[Tracked, ...] = ()
    manifests: tuple[str, ...] = ()
    held: datetime | None = None
    blocked: datetime | None = None
    proposal: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.registry, self.repository, self.digest)

    @property
    def name(self) -> str:
        """For people: repository and tags."""
        return f"{self.repository}:{','.join(self.tags)}" if self.tags else f"{self.repository}@{self.digest}"

    @property
    def reference(self) -> ImageReference:
        """Where it stands, by its digest alone."""
        return ImageReference(self.registry, self.repository, digest=self.digest)

    @property
    def open(self) -> tuple[Tracked, ...]:
        """The findings that count, the worst first."""
        counted = (one for one in self.findings if one.state is FindingState.OPEN)
        return tuple(sorted(counted, key=lambda one: (-one.severity, one.key)))

    @property
    def due(self) -> datetime | None:
        """When the first of its findings' times is over."""
        return min((one.due for one in self.open if one.due is not None), default=None)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Case:
        """From its JSON form."""
        return cls(
            str(entry["registry"]),
            str(entry["repository"]),
            tuple(map(str, entry["tags"])),
            str(entry["digest"]),
            Condition(entry["condition"]),
            instant(entry["since"]),
            tuple(Tracked.read(one) for one in entry["findings"]),
            tuple(map(str, entry["manifests"])),
            _optional(entry["held"]),
            _optional(entry["blocked"]),
            str(entry["proposal"]),
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "registry": self.registry,
            "repository": self.repository,
            "tags": list(self.tags),
            "digest": self.digest,
            "condition": str(self.condition),
            "since": written(self.since),
            "findings": [one.entry() for one in sorted(self.findings, key=lambda one: one.key)],
            "manifests": list(self.manifests),
            "held": written(self.held) if self.held else None,
            "blocked": written(self.blocked) if self.blocked else None,
            "proposal": self.proposal,
        }


@dataclass(frozen=True)
class Cases:
    """All cases, in the order of their places."""

    cases: tuple[Case, ...] = ()

    @classmethod
    def parse(cls, text: str | None, name: str = FILE) -> Cases:
        """From the file's text; there are none where there is no file.

        :raises UnreadableAnswer: when it is of another version, or malformed
        """
        return cls() if text is None else cls(tuple(load(text, name, _KEY, VERSION, Case.read)))

    def text(self) -> str:
        """The file's text: the same cases always make the same."""
        return dump(_KEY, VERSION, (one.entry() for one in sorted(self.cases, key=lambda one: one.key)))

    @cached_property
    def by_key(self) -> Mapping[tuple[str, str, str], Case]:
        return {one.key: one for one in self.cases}

    @cached_property
    def holds(self) -> Mapping[str, Hold]:
        """What releases have to refuse, by the digests of images and of their bad manifests."""
        found: dict[str, Hold] = {}
        for case in self.cases:
            if case.held is not None:
                hold = Hold(f"{case.registry}/{case.name}", case.held, tuple(one.finding for one in case.open))
                found |= dict.fromkeys((case.digest, *case.manifests), hold)
        return found


def _optional(value: object) -> datetime | None:
    return None if value is None else instant(value)

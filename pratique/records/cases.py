"""What rescans know of images in ``live/``: their cases, each with the clock of every finding.

Only images that are, or recently were, bad, held, blocked, stale or unverified are on record. A finding keeps its clock
while it is waived, and for :data:`MEMORY` after it was cured: if it comes back, its due date is still the old one::

    cases = Cases.parse(text)
    [hold.description for hold in cases.holds["sha256:…"]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from pratique.findings import Finding, Fix, Severity
from pratique.gate.holds import Hold, Holds
from pratique.images import ImageReference
from pratique.records.document import dump, format_time, load, parse_time

FILE = "findings.json"
VERSION = 1
_KEY = "images"

#: How long a cured finding is remembered.
MEMORY = timedelta(days=30)


class Condition(StrEnum):
    """The condition of an image in ``live/``."""

    BAD = "bad"
    #: Bad and used by no cluster, while manifests use another image of its repository, which passes.
    REPLACED = "replaced"
    #: Within the policy, with findings whose clocks run.
    WATCHED = "within policy"
    #: Outside Defender's window: the absence of findings means nothing.
    STALE = "stale"
    UNVERIFIED = "unverified"
    #: Let in by break glass, whose hours are over, and not assessed since.
    BREAK_GLASS = "break glass overdue"
    CURED = "cured"


#: Conditions to which the configured reactions are the answer.
REACTED_TO = (Condition.BAD, Condition.BREAK_GLASS)


class FindingState(StrEnum):
    """Whether a finding counts."""

    OPEN = "open"
    #: The value is what the records file stores; files that hold it are in use, so it does not follow the name.
    WAIVED = "excused"
    CURED = "cured"


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """One finding of one image, and its clock.

    :ivar fixed_version: empty when no source names one
    :ivar first_seen: when a rescan first saw it
    :ivar due: when it becomes overdue; ``None`` without a clock
    :ivar at: when it came into its state
    :ivar notified: whether a rescan has reported it as overdue; the records file calls this ``told``
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
        return Finding(
            vulnerability=self.vulnerability,
            severity=self.severity,
            package=self.package,
            version="",
            fixed_version=self.fixed_version,
            fix=fix,
        )

    def overdue(self, at: datetime) -> bool:
        """Whether it counts and is past its due date."""
        return self.state is FindingState.OPEN and self.due is not None and self.due <= at

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Tracked:
        """From its JSON form."""
        return cls(
            vulnerability=str(entry["vulnerability"]),
            package=str(entry["package"]),
            fixed_version=str(entry["fixedVersion"]),
            severity=Severity.parse(entry["severity"]),
            first_seen=parse_time(entry["firstSeen"]),
            due=None if entry["due"] is None else parse_time(entry["due"]),
            state=FindingState(entry["state"]),
            at=parse_time(entry["at"]),
            notified=bool(entry["told"]),
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "vulnerability": self.vulnerability,
            "package": self.package,
            "fixedVersion": self.fixed_version,
            "severity": self.severity.label,
            "firstSeen": format_time(self.first_seen),
            "due": None if self.due is None else format_time(self.due),
            "state": str(self.state),
            "at": format_time(self.at),
            "told": self.notified,
        }


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image in ``live/`` that rescans follow.

    :ivar repository: as in the registry, with ``live/``
    :ivar digest: of the index or manifest that its tags name
    :ivar since: when it came into its condition
    :ivar manifests: digests of the platforms' manifests that are bad
    :ivar held_since: when releases began to refuse it; ``None`` when they do not
    :ivar held_by: key of the cluster whose rescan holds it; empty in records of versions that did not write it
    :ivar proof_due: when an assessment was due of a digest that came in by break glass; ``None`` for others
    :ivar blocked_since: when Pratique blocked pulls of it; ``None`` when it did not
    :ivar blocked_by: key of the cluster whose rescan blocked them; empty as for ``held_by``
    :ivar proposals: by cluster, the branch of its GitOps repository that proposes another image, as ``name@sha``; that
        of a version that did not write the cluster is under an empty key
    """

    registry: str
    repository: str
    tags: tuple[str, ...]
    digest: str
    condition: Condition
    since: datetime
    findings: tuple[Tracked, ...] = ()
    manifests: tuple[str, ...] = ()
    held_since: datetime | None = None
    held_by: str = ""
    proof_due: datetime | None = None
    blocked_since: datetime | None = None
    blocked_by: str = ""
    proposals: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.registry, self.repository, self.digest)

    @property
    def name(self) -> str:
        """For people: repository and tags."""
        return f"{self.repository}:{','.join(self.tags)}" if self.tags else f"{self.repository}@{self.digest}"

    @property
    def reference(self) -> ImageReference:
        """Its place in the registry, by digest alone."""
        return ImageReference(self.registry, self.repository, digest=self.digest)

    def proposal(self, cluster: str) -> str:
        """The proposal in a cluster's repository; empty without one.

        :param cluster: its key
        """
        return self.proposals.get(cluster) or self.proposals.get("", "")

    @property
    def open(self) -> tuple[Tracked, ...]:
        """The findings that count, worst first."""
        counted = (finding for finding in self.findings if finding.state is FindingState.OPEN)
        return tuple(sorted(counted, key=lambda finding: (-finding.severity, finding.key)))

    @property
    def due(self) -> datetime | None:
        """The earliest due date of its open findings, and of the assessment after break glass."""
        found = [finding.due for finding in self.open if finding.due is not None]
        return min([*found, *([self.proof_due] if self.proof_due else [])], default=None)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Case:
        """From its JSON form."""
        return cls(
            registry=str(entry["registry"]),
            repository=str(entry["repository"]),
            tags=tuple(map(str, entry["tags"])),
            digest=str(entry["digest"]),
            condition=Condition(entry["condition"]),
            since=parse_time(entry["since"]),
            findings=tuple(Tracked.read(finding) for finding in entry["findings"]),
            manifests=tuple(map(str, entry["manifests"])),
            held_since=_optional(entry["held"]),
            held_by=str(entry.get("heldBy", "")),
            proof_due=_optional(entry.get("proofDue")),
            blocked_since=_optional(entry["blocked"]),
            blocked_by=str(entry.get("blockedBy", "")),
            proposals=_proposals(entry),
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "registry": self.registry,
            "repository": self.repository,
            "tags": list(self.tags),
            "digest": self.digest,
            "condition": str(self.condition),
            "since": format_time(self.since),
            "findings": [finding.entry() for finding in sorted(self.findings, key=lambda finding: finding.key)],
            "manifests": list(self.manifests),
            "held": format_time(self.held_since) if self.held_since else None,
            "heldBy": self.held_by,
            **({"proofDue": format_time(self.proof_due)} if self.proof_due else {}),
            "blocked": format_time(self.blocked_since) if self.blocked_since else None,
            "blockedBy": self.blocked_by,
            "proposals": dict(self.proposals),
            # Older versions of the program require it.
            "proposal": self.proposals.get("", ""),
        }


@dataclass(frozen=True)
class Cases:
    """All cases, sorted by registry, repository and digest."""

    cases: tuple[Case, ...] = ()

    @classmethod
    def parse(cls, text: str | None, name: str = FILE) -> Cases:
        """Read the file's text; without a file there are no cases.

        :raises UnreadableAnswer: when it has another version, or is malformed
        """
        return cls() if text is None else cls(tuple(load(text, name, _KEY, VERSION, Case.read)))

    def text(self) -> str:
        """The file's text; equal cases always give equal text."""
        return dump(_KEY, VERSION, (case.entry() for case in sorted(self.cases, key=lambda case: case.key)))

    @cached_property
    def by_key(self) -> Mapping[tuple[str, str, str], Case]:
        return {case.key: case for case in self.cases}

    @cached_property
    def holds(self) -> Holds:
        """What releases must refuse, by the digests of images and of their bad manifests."""
        found: dict[str, tuple[Hold, ...]] = {}
        for case in self.cases:
            if case.held_since is not None:
                place, findings = f"{case.registry}/{case.name}", tuple(finding.finding for finding in case.open)
                unassessed = case.condition is Condition.BREAK_GLASS
                hold = Hold(place, case.held_since, () if unassessed else findings, unassessed)
                for digest in {case.digest, *case.manifests}:
                    found[digest] = (*found.get(digest, ()), hold)
        return found


def _proposals(entry: Mapping[str, Any]) -> dict[str, str]:
    found = {str(cluster): str(proposal) for cluster, proposal in entry.get("proposals", {}).items()}
    legacy = str(entry["proposal"])
    return found | ({"": legacy} if legacy else {})


def _optional(value: object) -> datetime | None:
    return None if value is None else parse_time(value)

"""Results of the parsers: a finished scan, a scan that could not assess the image, or a row about an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pratique.evidence.parsers.place import Place
from pratique.findings import Finding, Severity


@dataclass(frozen=True)
class Distribution:
    """A Linux distribution of whose packages a scanner read at least one.

    :ivar name: with its version, for people
    :ivar component: the CycloneDX component that describes it, with names and values as the scanner writes them
    :ivar purl: package URL of one of its packages
    """

    name: str
    component: Mapping[str, Any]
    purl: str


@dataclass(frozen=True)
class Assessment:
    """A finished scan of one manifest; no findings means that the scanner found nothing.

    :ivar scanner: the scanner's name or URI, with its version if the document has one
    :ivar database_at: when its vulnerability database was last updated; ``None`` when the document does not say
    :ivar unconfirmed: a distribution in whose packages the scanner found nothing: the document does not show whether
        its database knows that distribution at all
    :ivar gap: why the findings may be incomplete, so that the scan proves nothing; empty when they are complete
    :ivar names: that the document gives to the image, if it gives any
    """

    findings: tuple[Finding, ...]
    scanned_at: datetime
    scanner: str
    database_at: datetime | None = None
    unconfirmed: Distribution | None = None
    gap: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unassessed:
    """A scan whose scanner does not recognise enough of the image to call it clean.

    :ivar findings: what it found all the same
    """

    reason: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class VulnerabilityDetails:
    """What Defender knows about a vulnerability apart from any image.

    :ivar severity: ``None`` when it has no rating
    :ivar rejected: whether its number was withdrawn
    """

    severity: Severity | None
    rejected: bool


#: Details by the vulnerability's identifier, in upper case.
Details = Mapping[str, VulnerabilityDetails]


def detailed(vulnerability: str, details: Details | None) -> Severity | None:
    """The severity of a vulnerability in the details, if they have it."""
    found = (details or {}).get(vulnerability.upper())
    return found.severity if found else None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of Resource Graph about one image manifest.

    :ivar id: its ARM id
    :ivar place: which image it is about, and where that stands
    :ivar kind: what it describes, unless that is the kind of scan whose rows Pratique knows; then it proves nothing
    :ivar not_applicable: why Defender did not assess the image, whatever the row lists; empty when it did
    :ivar pushed: when the image was pushed to its repository
    :ivar at: when Defender evaluated the status
    :ivar unrated: vulnerabilities that have no rating of their own, in upper case
    """

    id: str
    place: Place
    findings: tuple[Finding, ...]
    kind: str = ""
    not_applicable: str = ""
    pushed: datetime | None = None
    at: datetime | None = None
    unrated: frozenset[str] = frozenset()

"""What the readers make of other people's documents: a finished scan, one that saw nothing, or a row about an image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pratique.findings import Finding


@dataclass(frozen=True)
class Assessment:
    """A finished scan of one manifest; no findings means that nothing was found.

    :ivar scanner: the scanner's name or URI, with its version where it says one
    """

    findings: tuple[Finding, ...]
    scanned_at: datetime
    scanner: str


@dataclass(frozen=True)
class Unassessed:
    """The scanner looked, and does not know the image's contents well enough to say what it lacks.

    :ivar findings: what it found all the same
    """

    reason: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Row:
    """What one row of Resource Graph says about one image manifest.

    :ivar not_applicable: why Defender did not assess it, whatever it lists; empty when it did
    :ivar pushed: when the image came into its repository
    :ivar at: when the status was evaluated
    """

    digest: str
    registry_host: str
    repository: str
    findings: tuple[Finding, ...]
    not_applicable: str = ""
    pushed: datetime | None = None
    at: datetime | None = None

"""An image in quarantine that waits for the gate's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pratique.gate.evidence import Subject
from pratique.images import ResolvedImage
from pratique.platforms import required_manifests


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image in quarantine.

    :ivar repository: its repository in quarantine
    :ivar since: when its wait begins; ``None`` for the gate's start
    :ivar arrivals: digests, and when they were pushed to the repository, where that is known
    """

    image: ResolvedImage
    registry: str
    repository: str
    since: datetime | None = None
    arrivals: tuple[tuple[str, datetime], ...] = ()

    def subjects(self, platforms: Sequence[str]) -> list[Subject]:
        """The digests that need a verdict."""
        required, _ = required_manifests(self.image, platforms)
        digests = dict.fromkeys(manifest.digest for manifest in required)
        arrived = dict(self.arrivals)
        return [Subject(self.registry, self.repository, digest, arrived.get(digest)) for digest in digests]

    @property
    def indexes(self) -> list[Subject]:
        """The indexes above these digests. They need no proof, but Defender may name one of them in its findings."""
        return [Subject(self.registry, self.repository, digest) for digest in self.image.indexes]

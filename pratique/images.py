"""Image references and what they resolve to.

>>> reference = ImageReference.parse("docker.io/library/busybox:1.37.0")
>>> reference.registry, reference.repository, reference.tag
('docker.io', 'library/busybox', '1.37.0')
>>> str(reference.quarantined("acraks123.azurecr.io"))
'acraks123.azurecr.io/quarantine/library/busybox:1.37.0'

Identity is the digest: a reference is parsed once, resolved once to a :class:`ResolvedImage`, and from then on every
step names the image by that digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pratique.errors import ConfigurationError

# Grammar: OCI distribution-spec v1.1, "Pulling manifests"; host as in the distribution/reference grammar.
_REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]+)?"
DIGEST_PATTERN = r"sha256:[a-f0-9]{64}"
_REFERENCE = re.compile(
    rf"(?P<registry>{_HOST})/(?P<repository>{_REPOSITORY})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{DIGEST_PATTERN}))?"
)

QUARANTINE = "quarantine/"
LIVE = "live/"
#: What is below is a drill's, and the next drill removes it.
DRILL = f"{LIVE}quarantine-drill/"


@dataclass(frozen=True, order=True)
class ImageReference:
    """``registry/repository[:tag][@digest]``, fully qualified: nothing is defaulted."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a fully qualified reference.

        :raises ConfigurationError: when the text is not one, or has neither tag nor digest
        """
        match = _REFERENCE.fullmatch(text)
        first = text.split("/", 1)[0]
        if match is None or not (set(".:") & set(first) or first == "localhost"):
            raise ConfigurationError(
                "read the image reference",
                text,
                "It is not of the form registry/repository:tag.",
                "Write the registry out, for example docker.io/library/busybox:1.37.0.",
            )
        if not (match["tag"] or match["digest"]):
            raise ConfigurationError(
                "read the image reference",
                text,
                "It has neither a tag nor a digest.",
                "Name the version that you want: an implied 'latest' is never imported.",
            )
        return cls(match["registry"], match["repository"], match["tag"], match["digest"])

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def short(self) -> str:
        """Repository and tag (or digest), as shown in task names."""
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"

    def at(self, digest: str) -> ImageReference:
        """The same reference pinned to a digest."""
        return replace(self, digest=digest)

    def quarantined(self, registry: str) -> ImageReference:
        """Where the image stands while it is being assessed."""
        return replace(self, registry=registry, repository=QUARANTINE + self.repository)

    def released(self, registry: str) -> ImageReference:
        """Where the cluster pulls it from once it has passed."""
        return replace(self, registry=registry, repository=LIVE + self.repository)


@dataclass(frozen=True)
class PlatformManifest:
    """One runnable image of an index (or the only one of a single-platform image).

    :ivar platform: ``os/architecture[/variant]``
    """

    platform: str
    digest: str


@dataclass(frozen=True)
class ResolvedImage:
    """A reference and the digest that it had when it was resolved.

    :ivar digest: of what the tag names: an index, or a manifest
    :ivar platforms: the runnable manifests below it; for a single-platform image just the one, with the same digest
    :ivar attestations: how many of an index's manifests nobody can run
    """

    reference: ImageReference
    digest: str
    platforms: tuple[PlatformManifest, ...]
    attestations: int = 0

    @property
    def pinned(self) -> ImageReference:
        return self.reference.at(self.digest)


@dataclass(frozen=True)
class UnresolvedReference:
    """A reference whose registry this worker cannot reach: Azure will resolve the tag, and we read the digest back."""

    reference: ImageReference
    reason: str


@dataclass(frozen=True)
class ImportedImage:
    """An image in its place.

    :ivar reference: where it stands, with its digest
    :ivar seen: whether the digest was read back there; ``False`` when this worker cannot see the registry
    :ivar imported_at: when the import began, if there was one
    """

    image: ResolvedImage
    reference: ImageReference
    outcome: Literal["imported", "already there"]
    seen: bool
    imported_at: datetime | None = None


@dataclass(frozen=True)
class LiveImage:
    """What stands in ``live/`` under a repository: the tag that people read, and the digest that the node pulls."""

    tag: str
    digest: str


@dataclass(frozen=True)
class Descriptor:
    """Names bytes by their digest (OCI image-spec v1.1, "OCI Content Descriptors").

    :ivar media_type: of the bytes
    :ivar digest: ``sha256:`` and 64 hexadecimal digits
    :ivar size: of the bytes
    """

    media_type: str
    digest: str
    size: int

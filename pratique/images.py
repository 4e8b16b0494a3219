"""Image references, and the images that they resolve to.

>>> reference = ImageReference.parse("docker.io/library/busybox:1.37.0")
>>> reference.registry, reference.repository, reference.tag
('docker.io', 'library/busybox', '1.37.0')
>>> str(reference.location().quarantined("acraks123.azurecr.io"))
'acraks123.azurecr.io/quarantine/library/busybox:1.37.0'

The digest is an image's identity: a reference is parsed once and resolved once to a :class:`ResolvedImage`, and every
later step names the image by that digest.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

from pratique.errors import ConfigurationError
from pratique.replicas import ReplicaState

# Grammar: OCI distribution-spec v1.1, "Pulling manifests"; host as in the distribution/reference grammar.
REPOSITORY_PATTERN = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
TAG_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
HOST_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]+)?"
DIGEST_PATTERN = r"sha256:[a-f0-9]{64}"
_REFERENCE = re.compile(
    rf"(?P<registry>{HOST_PATTERN})/(?P<repository>{REPOSITORY_PATTERN})(?::(?P<tag>{TAG_PATTERN}))?(?:@(?P<digest>{DIGEST_PATTERN}))?"
)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: The names of Docker Hub in image references.
DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

QUARANTINE = "quarantine/"
LIVE = "live/"
#: Prefix of a drill's repositories. The next drill removes them.
DRILL = f"{LIVE}quarantine-drill/"
#: Platform of an entry in an index that could be an image for any platform. Every required platform needs its verdict.
UNKNOWN_PLATFORM = "unknown/unknown"


def digest_of(content: bytes) -> str:
    """The digest that names these bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, order=True)
class ImageReference:
    """A fully qualified ``registry/repository[:tag][@digest]``, without default values."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Parse a fully qualified reference.

        :raises ConfigurationError: when the text is not one, or has neither a tag nor a digest
        """
        match = _REFERENCE.fullmatch(text)
        host = text.split("/", 1)[0]
        if match is None or not (set(".:") & set(host) or host == "localhost"):
            raise ConfigurationError("read the image reference", text, *_what_is_wrong(text))
        if not (match["tag"] or match["digest"]):
            raise ConfigurationError(
                "read the image reference",
                text,
                "It has neither a tag nor a digest.",
                "Add the version that you want: an implied 'latest' is never imported.",
            )
        return cls(match["registry"], match["repository"], match["tag"], match["digest"])

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def short(self) -> str:
        """Repository and tag (or digest), for task names."""
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"

    def at(self, digest: str) -> ImageReference:
        """The same reference pinned to a digest."""
        return replace(self, digest=digest)

    def location(self, target: str = "") -> Location:
        """Where the image lies below ``quarantine/`` and ``live/``.

        :param target: the repository there; by default the image's own
        """
        return Location(target or self.repository, self.tag, self.digest)

    def target_at(self, repository: str) -> str:
        """The target of an image that lies in a repository below ``live/``; empty for the image's own repository."""
        return "" if repository == self.repository else repository


@dataclass(frozen=True, order=True)
class Location:
    """Where an image of the catalogue lies below ``quarantine/`` and ``live/``, whatever its name upstream.

    :ivar repository: without these prefixes
    """

    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def short(self) -> str:
        """Repository and tag (or digest): a name that no other image of the catalogue has."""
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"

    def quarantined(self, registry: str) -> ImageReference:
        """The reference in quarantine, where the image waits for the gate."""
        return ImageReference(registry, QUARANTINE + self.repository, self.tag, self.digest)

    def released(self, registry: str) -> ImageReference:
        """The reference in ``live/``, from which the cluster pulls the image after it passes the gate."""
        return ImageReference(registry, LIVE + self.repository, self.tag, self.digest)


def official_name(registry: str, repository: str) -> str | None:
    """The repository as Docker Hub knows it, if ``library/`` is missing: all its other names have two parts."""
    return f"library/{repository}" if registry in DOCKER_HUB and "/" not in repository else None


def _what_is_wrong(text: str) -> tuple[str, str]:
    """What is wrong with a text that is no reference, and the next step."""
    if scheme := _SCHEME.match(text):
        return f"It begins with {scheme[0]}.", "Leave that out: an image's reference begins with the registry's host."
    name, _, digest = text.partition("@")
    if digest.startswith("sha512:"):
        return "Its digest is SHA-512.", "Use the SHA-256 digest: Azure's registries know no other. Or leave it out."
    if digest and not re.fullmatch(DIGEST_PATTERN, digest):
        return "Its digest is not 'sha256:' and 64 hexadecimal digits in lower case.", "Correct the digest."
    host, slash, rest = name.partition("/")
    repository, colon, tag = rest.partition(":")
    lower = f"{host}{slash}{repository.lower()}{colon}{tag}"
    if lower != name and _REFERENCE.fullmatch(lower):
        return "Its repository has upper-case letters.", f"Write it in lower case, as all registries do: {lower}"
    return (
        "It is not of the form registry/repository:tag.",
        "Include the registry, for example docker.io/library/busybox:1.37.0.",
    )


@dataclass(frozen=True)
class PlatformManifest:
    """One image of an index that a container runtime could run, or the only one of a single-platform image.

    :ivar platform: ``os/architecture[/variant]`` as containerd normalises it; :data:`UNKNOWN_PLATFORM` where it could
        not be found out
    :ivar also: other platforms whose nodes may run it, such as ``linux/amd64`` for an image for ``linux/386``
    """

    platform: str
    digest: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResolvedImage:
    """A reference and the digest that it resolved to.

    :ivar digest: of the index or manifest that the tag names
    :ivar platforms: the manifests of an index that a runtime could run; for a single-platform image only itself, with
        the same digest
    :ivar attestations: number of manifests below an index that are not runnable
    :ivar contents: digests of all manifests and indexes below ``digest``, runnable or not; empty for a single-platform
        image, and where they are not known
    :ivar target: its repository below ``quarantine/`` and ``live/``; empty for the reference's own
    """

    reference: ImageReference
    digest: str
    platforms: tuple[PlatformManifest, ...]
    attestations: int = 0
    contents: tuple[str, ...] = ()
    target: str = ""

    @property
    def location(self) -> Location:
        return self.reference.location(self.target)

    @property
    def pinned(self) -> ImageReference:
        return self.reference.at(self.digest)

    @property
    def digests(self) -> frozenset[str]:
        """Its own digest, and those of everything below it, as far as they are known."""
        return frozenset({self.digest, *self.contents, *(manifest.digest for manifest in self.platforms)})

    @property
    def indexes(self) -> tuple[str, ...]:
        """Digests of its index and of the indexes below that; none for a single-platform image.

        Indexes and attestations below an index cannot be told apart, so if there are both, all are in here.
        """
        manifests = {manifest.digest for manifest in self.platforms}
        others = [digest for digest in self.contents if digest not in manifests]
        nested = others if len(others) > self.attestations else []
        return tuple(digest for digest in dict.fromkeys((self.digest, *nested)) if digest not in manifests)


@dataclass(frozen=True)
class UnresolvedReference:
    """A reference whose registry this worker cannot reach. Azure resolves the tag; the digest is read back later.

    :ivar target: as of :class:`ResolvedImage`
    """

    reference: ImageReference
    reason: str
    target: str = ""

    @property
    def location(self) -> Location:
        return self.reference.location(self.target)


Outcome: TypeAlias = Literal["imported", "already there"]


@dataclass(frozen=True, kw_only=True)
class ImportedImage:
    """An image in one of the cluster's registries.

    :ivar reference: in that registry, with its digest
    :ivar outcome: ``already there`` when nothing was imported
    :ivar verified: whether its digest and everything below it were read back there; ``False`` when this worker cannot
        reach the registry
    :ivar imported_at: start of the import, if there was one
    :ivar restored: digests below its own that had been deleted, and were imported again
    :ivar replicas: what is known about it in the registry's replicas; ``None`` when nobody has looked yet
    """

    image: ResolvedImage
    reference: ImageReference
    outcome: Outcome
    verified: bool
    imported_at: datetime | None = None
    restored: tuple[str, ...] = ()
    replicas: ReplicaState | None = None


@dataclass(frozen=True)
class LiveImage:
    """An image of a repository in ``live/``: the tag that people read, and the digest that the node pulls."""

    tag: str
    digest: str


@dataclass(frozen=True)
class Descriptor:
    """Identifies content by its digest (OCI image-spec v1.1, "OCI Content Descriptors").

    :ivar media_type: of the content
    :ivar digest: ``sha256:`` and 64 hexadecimal digits
    :ivar size: of the content, in bytes
    """

    media_type: str
    digest: str
    size: int

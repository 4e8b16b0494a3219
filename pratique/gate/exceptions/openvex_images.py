"""What the identifiers of OpenVEX documents say about images.

Form: package URLs of the types ``oci`` and ``docker``, and image references.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from pratique.errors import ConfigurationError
from pratique.gate.exceptions.exemption import covers_image
from pratique.images import ImageReference, ResolvedImage
from pratique.purl import Purl

#: Hosts that clients use for Docker Hub.
_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"})
#: Architectures that distributions and OCI name differently.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "ppc64el": "ppc64le"}
_QUALIFIERS = frozenset({"repository_url", "tag", "arch"})
#: An image reference with a tag or digest, however short, and with the schemes of clients.
_SHORT_REFERENCE = re.compile(
    r"(?:docker://|oci://)?(?P<path>(?:[a-z0-9.-]+:[0-9]+/)?[a-z0-9._/-]+)(?::(?P<tag>\w[\w.-]*))?(?:@(?P<digest>sha256:\w+))?"
)
_VERSION = re.compile(r"v?(\d+(?:\.\d+)+)(?=$|[-_+])")


@dataclass(frozen=True, kw_only=True)
class ImageTerms:
    """What one identifier says about an image; ``None`` where it says nothing.

    :ivar place: registry and repository
    :ivar name: last part of the repository, in lower case
    :ivar unsupported: whether it has parts that are not supported here
    :ivar exact: whether another digest means another image; a ``docker`` package URL may have the image's id
    :ivar ambiguous: whether it may name something else than an image
    """

    place: str | None = None
    name: str
    tag: str | None = None
    digest: str | None = None
    architecture: str | None = None
    unsupported: bool = False
    exact: bool = True
    ambiguous: bool = False

    def surely(self, image: ResolvedImage) -> bool:
        """Whether it means the whole image for certain."""
        reference = image.reference
        return (
            not self.unsupported
            and self.place in (None, _place(f"{reference.registry}/{reference.repository}"))
            and self.name == _name(reference.repository)
            and self.tag in (None, reference.tag)
            and (self.digest is None or covers_image(self.digest, image))
            and runs_on(self.architecture, image)
        )

    def perhaps(self, image: ResolvedImage) -> bool:
        """Whether it may mean some of the image, which other registries may have as well, under other tags."""
        return self.ambiguous or self.may_name(image)

    def may_name(self, image: ResolvedImage) -> bool:
        """Whether its name and version, or its digest, may be the image's."""
        if self.digest in digests_of(image):
            return True
        if self.digest and self.exact:
            return False
        names = {_name(image.reference.repository), _name(image.location.repository)}  # upstream, and in live/
        return self.name in names and _may_be_one_version(self.tag, image.reference.tag)


def image_terms(locator: str) -> ImageTerms | None:
    """What a package URL or reference says about an image; ``None`` when it is about something else."""
    try:
        purl = Purl.parse(locator)
    except ValueError:
        return _reference_terms(locator.strip())
    if purl.type not in ("oci", "docker"):
        return None
    version, tag = purl.version, purl.qualifiers.get("tag")
    digest = version.lower() if version.lower().startswith("sha256:") else None
    if version and digest is None:  # for "oci" not as specified, but always meant as a tag
        tag = tag or version
    unsupported = bool(
        (purl.namespace and purl.type == "oci")
        or "/" in purl.name
        or purl.subpath
        or purl.qualifiers.keys() - _QUALIFIERS
        or (not digest and version not in ("", tag))
    )
    return ImageTerms(
        place=_purl_place(purl),
        name=_name(purl.name),
        tag=tag,
        digest=digest,
        architecture=purl.qualifiers.get("arch"),
        unsupported=unsupported,
        exact=purl.type == "oci",
    )


def _purl_place(purl: Purl) -> str | None:
    place = purl.qualifiers.get("repository_url", "").rpartition("://")[2].rstrip("/")
    if purl.type == "docker":
        path = f"{purl.namespace}/{purl.name}" if purl.namespace else f"library/{purl.name}"
        return _place(f"{place or 'docker.io'}/{path}")
    if place and _name(place) != purl.name.lower():
        place = f"{place}/{purl.name}"
    return _place(place) if place else None


def _reference_terms(locator: str) -> ImageTerms | None:
    for text, tagged in ((locator, True), (f"{locator}:any", False)):
        with suppress(ConfigurationError):
            reference = ImageReference.parse(text)
            place = _place(f"{reference.registry}/{reference.repository}")
            tag, name = reference.tag if tagged else None, _name(reference.repository)
            return ImageTerms(place=place, name=name, tag=tag, digest=reference.digest, ambiguous=not tagged)
    short = _SHORT_REFERENCE.fullmatch(locator.lower())
    if short is None or not (short["tag"] or short["digest"]):
        return None
    return ImageTerms(name=_name(short["path"]), tag=short["tag"], digest=short["digest"], unsupported=True)


def _place(text: str) -> str:
    host, _, repository = text.lower().partition("/")
    return f"{'docker.io' if host in _DOCKER_HUB else host}/{repository}"


def _name(repository: str) -> str:
    return repository.rpartition("/")[2].lower()


def digests_of(image: ResolvedImage) -> set[str]:
    return {image.digest, *(manifest.digest for manifest in image.platforms)}


def _may_be_one_version(tag: str | None, other: str | None) -> bool:
    """Whether two tags may name the same image: ``1.27`` and ``1.27.3-alpine`` may, ``1.27`` and ``1.28`` do not."""
    first, second = (_VERSION.match(text.lower()) if text else None for text in (tag, other))
    if first is None or second is None:
        return True
    numbers = [match[1].split(".") for match in (first, second)]
    return all(a == b for a, b in zip(*numbers, strict=False))


def runs_on(architecture: str | None, image: ResolvedImage) -> bool:
    """Whether an architecture is the only one of the image."""
    if architecture in (None, "all", "noarch"):
        return True
    offered = {manifest.platform.partition("/")[2].partition("/")[0] for manifest in image.platforms}
    return offered == {_ARCHITECTURES.get(architecture, architecture)}

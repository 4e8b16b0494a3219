"""Which images and packages the identifiers of OpenVEX mean.

Whoever excuses a finding has to name the image without doubt (``surely``); whoever warns is heard wherever the image
may be meant (``perhaps``).

Form: OpenVEX v0.2.0, "Product Data Structure"; package URLs of the type ``oci``, SHA-256, and plain image references.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pratique.errors import ConfigurationError
from pratique.findings import Finding
from pratique.gate.exceptions.exemption import names_all_of
from pratique.gate.exceptions.purl import Purl
from pratique.images import ImageReference, ResolvedImage

#: Hosts under which clients know Docker Hub.
_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
#: What distributions call an architecture that OCI calls by another name.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "ppc64el": "ppc64le"}
_QUALIFIERS = frozenset({"repository_url", "tag", "arch"})


@dataclass(frozen=True)
class ImageTerms:
    """What one identifier says of an image; ``None`` where it is silent.

    :ivar place: registry and repository
    :ivar name: last part of the repository
    :ivar strange: it says more than is understood here
    """

    place: str | None = None
    name: str | None = None
    tag: str | None = None
    digest: str | None = None
    architecture: str | None = None
    strange: bool = False

    def surely(self, image: ResolvedImage) -> bool:
        """Whether all of the image is meant."""
        return (
            not self.strange
            and self._named(image.reference)
            and (self.digest is None or names_all_of(self.digest, image))
            and _runs_on(self.architecture, image)
        )

    def perhaps(self, image: ResolvedImage) -> bool:
        """Whether some of the image may be meant."""
        digests = {None, image.digest, *(one.digest for one in image.platforms)}
        return self._named(image.reference) and self.digest in digests

    def _named(self, reference: ImageReference) -> bool:
        return (
            self.place in (None, _place(f"{reference.registry}/{reference.repository}"))
            and self.name in (None, reference.repository.rpartition("/")[2])
            and self.tag in (None, reference.tag)
        )


@dataclass(frozen=True)
class Product:
    """An image, or packages in it.

    :ivar terms: what its identifiers say; all are about the same thing
    :ivar packages: empty for the whole image; ``None`` stands for one that is not understood
    :ivar certain: whether enough is said to excuse anything
    """

    terms: tuple[ImageTerms, ...]
    packages: tuple[Purl | None, ...]
    certain: bool

    @classmethod
    def of(
        cls, locators: Iterable[str], sha256: str | None, packages: Iterable[Sequence[str]], *, some_versions: bool
    ) -> Product:
        """What the fields of a product mean.

        :param locators: its ``@id`` and package URL
        :param sha256: its hash, in hexadecimal
        :param packages: the locators of each of its subcomponents
        :param some_versions: what is said holds for some versions only, so they have to be named
        """
        terms = [terms for locator in locators if (terms := _terms(locator))]
        if sha256:
            terms.append(ImageTerms(digest=f"sha256:{sha256.lower()}"))
        certain = any(one.place or one.digest for one in terms)
        if some_versions:
            certain = certain and any(one.tag or one.digest for one in terms)
        return cls(tuple(terms), tuple(map(_package, packages)), certain)

    def surely(self, finding: Finding, image: ResolvedImage) -> bool:
        """Whether the finding in the image is meant without doubt."""
        if not self.certain or not all(terms.surely(image) for terms in self.terms):
            return False
        if not self.packages:
            return True
        named = [one for one in self._named(finding) if not one.subpath and _runs_on(one.qualifiers.get("arch"), image)]
        versions = {one.version for one in named}
        return bool(named) and ("" in versions or _versions(finding) <= versions)

    def perhaps(self, finding: Finding, image: ResolvedImage) -> bool:
        """Whether the finding in the image may be meant."""
        if not any(terms.perhaps(image) for terms in self.terms):
            return False
        if not self.packages or not finding.package or None in self.packages:
            return True
        found = _versions(finding)
        return any(not one.version or not found or one.version in found for one in self._named(finding))

    def _named(self, finding: Finding) -> list[Purl]:
        return [one for one in self.packages if one and finding.package.lower() in one.package_names]


def _terms(locator: str) -> ImageTerms | None:
    """What a package URL or reference says of an image; ``None`` when it is about something else."""
    try:
        purl = Purl.parse(locator)
    except ValueError:
        return _reference_terms(locator)
    if purl.type != "oci":
        return None
    version, tag = purl.version, purl.qualifiers.get("tag")
    digest = version.lower() if version.lower().startswith("sha256:") else None
    if version and digest is None:  # not by the specification, but meant as a tag wherever it is seen
        tag = tag or version
    place = purl.qualifiers.get("repository_url")
    if place is not None:
        place = place.rpartition("://")[2]
        if place.rpartition("/")[2].lower() != purl.name.lower():
            place = f"{place.rstrip('/')}/{purl.name}"
    strange = bool(
        purl.namespace
        or purl.subpath
        or purl.qualifiers.keys() - _QUALIFIERS
        or (not digest and version not in ("", tag))
    )
    return ImageTerms(
        _place(place) if place else None, purl.name.lower(), tag, digest, purl.qualifiers.get("arch"), strange
    )


def _reference_terms(locator: str) -> ImageTerms | None:
    for text, tagged in ((locator, True), (f"{locator}:any", False)):
        with suppress(ConfigurationError):
            reference = ImageReference.parse(text)
            place = _place(f"{reference.registry}/{reference.repository}")
            return ImageTerms(place=place, tag=reference.tag if tagged else None, digest=reference.digest)
    return None


def _package(locators: Iterable[str]) -> Purl | None:
    for locator in locators:
        with suppress(ValueError):
            return Purl.parse(locator)
    return None


def _place(text: str) -> str:
    host, _, repository = text.lower().partition("/")
    return f"{'docker.io' if host in _DOCKER_HUB else host}/{repository}"


def _runs_on(architecture: str | None, image: ResolvedImage) -> bool:
    """Whether something for one architecture is for all of the image."""
    if architecture in (None, "all", "noarch"):
        return True
    offered = {one.platform.partition("/")[2].partition("/")[0] for one in image.platforms}
    return offered == {_ARCHITECTURES.get(architecture, architecture)}


def _versions(finding: Finding) -> set[str]:
    """Of a finding, as :func:`pratique.findings.merged` joins them."""
    return {version for version in finding.version.split(", ") if version}

"""Matches OpenVEX identifiers with images and packages.

A statement that waives a finding must identify the image for certain (``surely``); one that revokes a waiver applies
wherever it may mean the image (``perhaps``).

Form: OpenVEX v0.2.0, "Product Data Structure"; package URLs of the type ``oci``, SHA-256, and plain image references.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pratique.errors import ConfigurationError
from pratique.findings import Finding
from pratique.gate.exceptions.exemption import covers_image
from pratique.gate.exceptions.purl import Purl
from pratique.images import ImageReference, ResolvedImage

#: Hosts that clients use for Docker Hub.
_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
#: Architectures that distributions and OCI name differently.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "ppc64el": "ppc64le"}
_QUALIFIERS = frozenset({"repository_url", "tag", "arch"})


@dataclass(frozen=True, kw_only=True)
class ImageTerms:
    """What one identifier says about an image; ``None`` where it says nothing.

    :ivar place: registry and repository
    :ivar name: last part of the repository
    :ivar unsupported: whether it has parts that are not supported here
    """

    place: str | None = None
    name: str | None = None
    tag: str | None = None
    digest: str | None = None
    architecture: str | None = None
    unsupported: bool = False

    def surely(self, image: ResolvedImage) -> bool:
        """Whether it means the whole image for certain."""
        return (
            not self.unsupported
            and self._named(image.reference)
            and (self.digest is None or covers_image(self.digest, image))
            and _runs_on(self.architecture, image)
        )

    def perhaps(self, image: ResolvedImage) -> bool:
        """Whether it may mean some of the image."""
        digests = {None, image.digest, *(manifest.digest for manifest in image.platforms)}
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

    :ivar terms: what its identifiers say; all identify the same image
    :ivar packages: empty for the whole image; ``None`` is a package that cannot be read
    :ivar certain: whether they say enough to waive anything
    """

    terms: tuple[ImageTerms, ...]
    packages: tuple[Purl | None, ...]
    certain: bool

    @classmethod
    def of(
        cls, locators: Iterable[str], sha256: str | None, packages: Iterable[Sequence[str]], *, some_versions: bool
    ) -> Product:
        """The product that the fields of a statement describe.

        :param locators: its ``@id`` and package URL
        :param sha256: its hash, in hexadecimal
        :param packages: the locators of each of its subcomponents
        :param some_versions: whether the statement is about some versions only, so it must name them
        """
        terms = [terms for locator in locators if (terms := _terms(locator))]
        if sha256:
            terms.append(ImageTerms(digest=f"sha256:{sha256.lower()}"))
        certain = any(term.place or term.digest for term in terms)
        if some_versions:
            certain = certain and any(term.tag or term.digest for term in terms)
        return cls(tuple(terms), tuple(map(_package, packages)), certain)

    def surely(self, finding: Finding, image: ResolvedImage) -> bool:
        """Whether it means the finding in the image for certain."""
        if not self.certain or not all(terms.surely(image) for terms in self.terms):
            return False
        if not self.packages:
            return True
        named = [
            package
            for package in self._named(finding)
            if not package.subpath and _runs_on(package.qualifiers.get("arch"), image)
        ]
        versions = {package.version for package in named}
        return bool(named) and ("" in versions or _versions(finding) <= versions)

    def perhaps(self, finding: Finding, image: ResolvedImage) -> bool:
        """Whether it may mean the finding in the image."""
        if not any(terms.perhaps(image) for terms in self.terms):
            return False
        if not self.packages or not finding.package or None in self.packages:
            return True
        found = _versions(finding)
        return any(not package.version or not found or package.version in found for package in self._named(finding))

    def _named(self, finding: Finding) -> list[Purl]:
        return [package for package in self.packages if package and finding.package.lower() in package.package_names]


def _terms(locator: str) -> ImageTerms | None:
    """What a package URL or reference says about an image; ``None`` when it is about something else."""
    try:
        purl = Purl.parse(locator)
    except ValueError:
        return _reference_terms(locator)
    if purl.type != "oci":
        return None
    version, tag = purl.version, purl.qualifiers.get("tag")
    digest = version.lower() if version.lower().startswith("sha256:") else None
    if version and digest is None:  # not as specified, but always meant as a tag
        tag = tag or version
    place = purl.qualifiers.get("repository_url")
    if place is not None:
        place = place.rpartition("://")[2]
        if place.rpartition("/")[2].lower() != purl.name.lower():
            place = f"{place.rstrip('/')}/{purl.name}"
    unsupported = bool(
        purl.namespace
        or purl.subpath
        or purl.qualifiers.keys() - _QUALIFIERS
        or (not digest and version not in ("", tag))
    )
    return ImageTerms(
        place=_place(place) if place else None,
        name=purl.name.lower(),
        tag=tag,
        digest=digest,
        architecture=purl.qualifiers.get("arch"),
        unsupported=unsupported,
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
    """Whether an architecture is the only one of the image."""
    if architecture in (None, "all", "noarch"):
        return True
    offered = {manifest.platform.partition("/")[2].partition("/")[0] for manifest in image.platforms}
    return offered == {_ARCHITECTURES.get(architecture, architecture)}


def _versions(finding: Finding) -> set[str]:
    """A finding's versions, as :func:`pratique.findings.merged` joins them."""
    return {version for version in finding.version.split(", ") if version}

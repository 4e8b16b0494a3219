"""Matches OpenVEX identifiers with images and packages.

A statement that waives a finding must identify the image and the package for certain (:meth:`Product.surely`); one that
revokes a waiver applies wherever it may mean the image (:meth:`Product.perhaps`), whichever package it names.

Form: OpenVEX v0.2.0, "Product Data Structure"; package URLs of the types ``oci`` and ``docker``, SHA-256, and image
references.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pratique.errors import ConfigurationError
from pratique.findings import Finding
from pratique.gate.exceptions.exemption import covers_image
from pratique.images import ImageReference, ResolvedImage
from pratique.purl import DISTRIBUTIONS, SYSTEM, Purl

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
            and _runs_on(self.architecture, image)
        )

    def perhaps(self, image: ResolvedImage) -> bool:
        """Whether it may mean some of the image, which other registries may have as well, under other tags."""
        if self.ambiguous or self.digest in _digests(image):
            return True
        if self.digest and self.exact:
            return False
        return self.name == _name(image.reference.repository) and _may_be_one_version(self.tag, image.reference.tag)


@dataclass(frozen=True)
class Product:
    """What a statement is about: an image, packages in it, or something else.

    :ivar images: what its identifiers say about an image; all identify the same one
    :ivar hashes: its SHA-256, as digests
    :ivar texts: all its identifiers, in lower case
    :ivar packages: package URLs of each subcomponent, all for the same package; empty for one that has none
    :ivar certain: whether it says enough to waive anything
    """

    images: tuple[ImageTerms, ...]
    hashes: tuple[str, ...]
    texts: tuple[str, ...]
    packages: tuple[tuple[Purl, ...], ...]
    certain: bool

    @classmethod
    def of(
        cls,
        locators: Sequence[str],
        hashes: Mapping[str, str],
        packages: Iterable[Sequence[str]],
        *,
        some_versions: bool,
    ) -> Product:
        """The product that the fields of a statement describe.

        :param locators: its ``@id``, package URL and CPEs
        :param hashes: in hexadecimal, by algorithm
        :param packages: the locators of each of its subcomponents; none for one that cannot be identified by them
        :param some_versions: whether the statement is about some versions only, so it must name them
        """
        images = tuple(terms for locator in locators if (terms := _terms(locator)))
        digests = tuple(f"sha256:{value.lower()}" for name, value in hashes.items() if name == "sha-256")
        named = tuple(tuple(_purls(component)) for component in packages)
        certain = bool(digests) or any(terms.place or terms.digest for terms in images)
        if some_versions:
            certain = certain and (bool(digests) or any(terms.tag or terms.digest for terms in images))
        texts = tuple(text.lower() for text in (*locators, *hashes.values()))
        return cls(images, digests, texts, named, certain and any(named))

    def surely(self, finding: Finding, image: ResolvedImage) -> bool:
        """Whether it means the finding's package in the image for certain."""
        return (
            self.certain
            and all(terms.surely(image) for terms in self.images)
            and all(covers_image(digest, image) for digest in self.hashes)
            and all(self._names(purl, finding, image) for purl in finding.purls)
        )

    def perhaps(self, image: ResolvedImage) -> bool:
        """Whether it may mean the image, or anything in it.

        Only the name of another image rules that out: what a package, a CPE, a hash or any other name stands for may
        be in every image.
        """
        known = [digest.removeprefix("sha256:") for digest in _digests(image)]
        if any(digest in text for digest in known for text in self.texts):
            return True
        return not self.images or any(terms.perhaps(image) for terms in self.images)

    def _names(self, text: str, finding: Finding, image: ResolvedImage) -> bool:
        try:
            found = Purl.parse(text)
        except ValueError:  # a source that does not say of which ecosystem the package is
            return False
        matching = [
            purls for purls in self.packages if purls and all(_same_package(purl, found, image) for purl in purls)
        ]
        versions: set[str] = set()
        for purls in matching:
            stated = {purl.version for purl in purls if purl.version}
            versions |= (stated or {""}) if len(stated) < 2 else set()
        known = {purl.version for purl in _purls(finding.purls)} if found.version else set()
        installed = ({found.version} - {""}) | (_versions(finding) - known)
        return "" in versions or (bool(installed) and installed <= versions)


def _terms(locator: str) -> ImageTerms | None:
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
        or purl.subpath
        or purl.qualifiers.keys() - _QUALIFIERS
        or (not digest and version not in ("", tag))
    )
    return ImageTerms(
        place=_purl_place(purl),
        name=purl.name.lower(),
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


def _purls(locators: Iterable[str]) -> Iterable[Purl]:
    for locator in locators:
        with suppress(ValueError):
            yield Purl.parse(locator)


def _same_package(named: Purl, found: Purl, image: ResolvedImage) -> bool:
    """Whether a statement's package URL means a package that a source found, apart from its version."""
    if found.type == SYSTEM:
        same = named.type in DISTRIBUTIONS and named.name.casefold() == found.name.casefold()
    else:
        same = (named.type, named.package) == (found.type, found.package)
    others = {key: value for key, value in named.qualifiers.items() if key != "arch"}
    return (
        same
        and named.subpath in ("", found.subpath)
        and others.items() <= dict(found.qualifiers).items()
        and _runs_on(named.qualifiers.get("arch"), image)
    )


def _place(text: str) -> str:
    host, _, repository = text.lower().partition("/")
    return f"{'docker.io' if host in _DOCKER_HUB else host}/{repository}"


def _name(repository: str) -> str:
    return repository.rpartition("/")[2].lower()


def _digests(image: ResolvedImage) -> set[str]:
    return {image.digest, *(manifest.digest for manifest in image.platforms)}


def _may_be_one_version(tag: str | None, other: str | None) -> bool:
    """Whether two tags may name the same image: ``1.27`` and ``1.27.3-alpine`` may, ``1.27`` and ``1.28`` do not."""
    first, second = (_VERSION.match(text.lower()) if text else None for text in (tag, other))
    if first is None or second is None:
        return True
    numbers = [match[1].split(".") for match in (first, second)]
    return all(a == b for a, b in zip(*numbers, strict=False))


def _runs_on(architecture: str | None, image: ResolvedImage) -> bool:
    """Whether an architecture is the only one of the image."""
    if architecture in (None, "all", "noarch"):
        return True
    offered = {manifest.platform.partition("/")[2].partition("/")[0] for manifest in image.platforms}
    return offered == {_ARCHITECTURES.get(architecture, architecture)}


def _versions(finding: Finding) -> set[str]:
    """A finding's versions, as :func:`pratique.findings.merged` joins them."""
    return {version for version in finding.version.split(", ") if version}

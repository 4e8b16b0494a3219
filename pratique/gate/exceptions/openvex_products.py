"""Matches OpenVEX identifiers with images and packages.

A statement that waives a finding must identify the image and the package for certain (:meth:`Product.surely`); one that
revokes a waiver applies wherever it may mean the image (:meth:`Product.perhaps`), whichever package it names.

Form: OpenVEX v0.2.0, "Product Data Structure"; package URLs, CPEs and SHA-256.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from pratique.findings import Finding
from pratique.gate.exceptions.cpe import Cpe
from pratique.gate.exceptions.exemption import covers_image
from pratique.gate.exceptions.openvex_images import ImageTerms, digests_of, image_terms, runs_on
from pratique.images import ResolvedImage
from pratique.purl import DISTRIBUTIONS, SYSTEM, Purl

#: An address or name that says nothing about an image or package. Package URLs and CPEs do.
_ADDRESS = re.compile(r"(?!pkg:|cpe:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_SHA_256 = re.compile(r"[0-9a-f]{64}")
_HASH = re.compile(r"[0-9a-f]{64,}")


@dataclass(frozen=True)
class Component:
    """The names that a document gives to a product or a subcomponent.

    :ivar locators: its ``@id``, package URL and CPEs
    :ivar hashes: in hexadecimal, by algorithm
    """

    locators: Sequence[str]
    hashes: Mapping[str, str]

    @property
    def texts(self) -> tuple[str, ...]:
        """All its names, decoded and in lower case."""
        return tuple(unquote(text).lower() for text in (*self.locators, *self.hashes.values()))


@dataclass(frozen=True)
class Product:
    """What a statement is about: an image, packages in it, or something else.

    :ivar images: what its identifiers say about an image; all identify the same one
    :ivar cpes: what its CPEs say about an image, if they are about one
    :ivar texts: all its identifiers, decoded and in lower case
    :ivar packages: the package that each subcomponent is, for those that are identified
    :ivar part_images: what the identifiers of subcomponents say about an image
    :ivar part_texts: all identifiers of subcomponents, decoded and in lower case
    :ivar certain: whether it says enough to waive anything
    """

    images: tuple[ImageTerms, ...]
    cpes: tuple[ImageTerms, ...]
    texts: tuple[str, ...]
    packages: tuple[_Package, ...]
    part_images: tuple[ImageTerms, ...]
    part_texts: tuple[str, ...]
    certain: bool

    @classmethod
    def of(cls, product: Component, parts: Sequence[Component], *, some_versions: bool) -> Product:
        """The product that the fields of a statement describe.

        A name or a hash that cannot be compared with the image's makes it uncertain.

        :param parts: its subcomponents
        :param some_versions: whether the statement is about some versions only, so it must name them
        """
        images, cpes = _image_terms(product), tuple(_cpe_terms(product))
        packages = tuple(package for part in parts if (package := _package(part)))
        certain = bool(product.hashes) or any(terms.place or terms.digest for terms in images)
        if some_versions:
            certain = certain and (bool(product.hashes) or any(terms.tag or terms.digest for terms in images))
        return cls(
            images=images,
            cpes=cpes,
            texts=product.texts,
            packages=packages,
            part_images=tuple(terms for part in parts for terms in _image_terms(part)),
            part_texts=tuple(text for part in parts for text in part.texts),
            certain=certain and _comparable(product, len(images) + len(cpes)) and bool(packages),
        )

    def surely(self, finding: Finding, image: ResolvedImage) -> bool:
        """Whether it means the finding's package in the image for certain."""
        return (
            self.certain
            and all(terms.surely(image) for terms in (*self.images, *self.cpes))
            and all(covers_image(f"sha256:{found}", image) for text in self.texts for found in _HASH.findall(text))
            and all(self._names(purl, finding, image) for purl in finding.purls)
        )

    def perhaps(self, image: ResolvedImage) -> bool:
        """Whether it may mean the image, or anything in it.

        Only the name of another image rules that out, unless this image is a subcomponent of it: what a package, a CPE,
        a hash or any other name stands for may be in every image.
        """
        known = [digest.removeprefix("sha256:") for digest in digests_of(image)]
        if any(digest in text for digest in known for text in (*self.texts, *self.part_texts)):
            return True
        if not self.images or any(terms.perhaps(image) for terms in self.images):
            return True
        return any(terms.may_name(image) for terms in self.part_images)

    def _names(self, text: str, finding: Finding, image: ResolvedImage) -> bool:
        try:
            found = Purl.parse(text)
        except ValueError:  # a source that does not say of which ecosystem the package is
            return False
        versions: set[str] = set()
        for package in self.packages:
            if all(_same_package(purl, found, image) for purl in package.purls):
                versions |= (package.versions or {""}) if len(package.versions) < 2 else set()
        known = {purl.version for purl in _purls(finding.purls)} if found.version else set()
        installed = ({found.version} - {""}) | (_versions(finding) - known)
        return "" in versions or (bool(installed) and installed <= versions)


@dataclass(frozen=True)
class _Package:
    """A package as a subcomponent names it.

    :ivar purls: all for the same package
    :ivar versions: that it states; empty for every version
    """

    purls: tuple[Purl, ...]
    versions: frozenset[str]


def _package(part: Component) -> _Package | None:
    """The package that a subcomponent is; ``None`` when it is not certain that all its names mean one package."""
    purls, cpes = tuple(_purls(part.locators)), tuple(_cpes(part.locators))
    names = {purl.name.casefold() for purl in purls}
    fits = all(cpe.whole and cpe.product in names for cpe in cpes)
    # A hash narrows it to one file, which no source of findings names.
    if not purls or part.hashes or not fits or not _comparable(part, len(purls) + len(cpes)):
        return None
    return _Package(purls, frozenset({purl.version for purl in purls} | {cpe.version for cpe in cpes}) - {""})


def _comparable(component: Component, understood: int) -> bool:
    """Whether every name of a component can be compared with those of images and packages.

    :param understood: number of its locators that say something about an image or a package
    """
    hashes = component.hashes.items()
    understood += sum(bool(_ADDRESS.match(locator)) and not image_terms(locator) for locator in component.locators)
    return understood == len(component.locators) and all(
        name == "sha-256" and _SHA_256.fullmatch(value.lower()) for name, value in hashes
    )


def _image_terms(component: Component) -> tuple[ImageTerms, ...]:
    return tuple(terms for locator in component.locators if (terms := image_terms(locator)))


def _cpe_terms(component: Component) -> Iterable[ImageTerms]:
    for cpe in _cpes(component.locators):
        yield ImageTerms(name=cpe.product, tag=cpe.version or None, unsupported=not cpe.whole)


def _purls(locators: Iterable[str]) -> Iterable[Purl]:
    for locator in locators:
        with suppress(ValueError):
            yield Purl.parse(locator)


def _cpes(locators: Iterable[str]) -> Iterable[Cpe]:
    for locator in locators:
        with suppress(ValueError):
            yield Cpe.parse(locator)


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
        and runs_on(named.qualifiers.get("arch"), image)
    )


def _versions(finding: Finding) -> set[str]:
    """A finding's versions, as :func:`pratique.findings.merged` joins them."""
    return {version for version in finding.version.split(", ") if version}

"""Which image a row of Resource Graph is about, and where that image stands, from every place that may say so.

Where a row names its registry is not documented: ``RegistryHost`` at the top or in ``RepositoryDetails``, ``ImageUri``
and the row's own id have been seen.

>>> about = Reader.of({"ImageUri": "ACRaks.azurecr.io/live/app:1"}, "a row", "row")
>>> place_of("", about).is_at("acraks.azurecr.io", "live/app")
True
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pratique.evidence.parsers.json_reader import Reader
from pratique.purl import Purl

_HEX = re.compile(r"[0-9a-f]{64}")
_DIGEST_KEYS = ("Digest", "ImageDigest")
_REGISTRY_ID = re.compile(r"/registries/([^/]+)")
_REPOSITORY_ID = re.compile(r"/repositories/(.+)/images/")
_DASHED_ID = re.compile(r"repositories-(.+)-images-")
#: In place of a name that cannot be read: it equals no name.
_UNREADABLE = "?"


@dataclass(frozen=True)
class Place:
    """An image manifest, and where a row says that it stands.

    Each set has one member when the row says one thing, none when it says nothing, and several when it contradicts
    itself.

    :ivar digests: digests of the manifest
    :ivar registries: host names, or names of registries without a domain
    :ivar dashed: repositories with dashes in place of slashes
    """

    digests: frozenset[str] = frozenset()
    registries: frozenset[str] = frozenset()
    repositories: frozenset[str] = frozenset()
    dashed: frozenset[str] = frozenset()

    def is_at(self, registry: str, repository: str) -> bool:
        """Whether everything that the row says names this registry and this repository, and it names both."""
        hosts = bool(self.registries) and all(_same_registry(named, registry) for named in self.registries)
        return hosts and self.repositories == {repository.lower()} and self._dashes_match(repository)

    def may_be_at(self, registry: str, repository: str) -> bool:
        """Whether anything that the row says names this registry and this repository, or says nothing about them."""
        hosts = not self.registries or any(
            named == _UNREADABLE or _same_registry(named, registry) for named in self.registries
        )
        if not self.repositories:
            return hosts and self._dashes_match(repository)
        return hosts and bool(self.repositories & {_UNREADABLE, repository.lower()})

    def _dashes_match(self, repository: str) -> bool:
        return self.dashed <= {repository.lower().replace("/", "-")}

    def __str__(self) -> str:
        repositories = self.repositories or self.dashed
        named = [" or ".join(sorted(names)) for names in (self.registries, repositories) if names]
        return "/".join(named) or "an unnamed place"


def place_of(row_id: str, *documents: Reader, details: Reader | None = None) -> Place:
    """Read what a row says about its image.

    :param documents: the objects that may hold a digest, a registry's host, a repository's name or an image's URI
    :param details: the row's ``resourceDetails``
    :raises UnreadableAnswer: when a digest is malformed
    """
    digests = {document.digest(key) for document in documents for key in _DIGEST_KEYS if document.has(key)}
    registries = {_host(name) for name in _names(documents, "RegistryHost")}
    repositories = {name.lower() for name in _names(documents, "RepositoryName")}
    dashed: set[str] = set()
    for uri in _names(documents, "ImageUri"):
        host, repository, digest = _parts(uri)
        registries.add(host)
        repositories.add(repository)
        digests |= digest
    for text in [row_id.lower(), *_texts(details)]:
        digests |= {f"sha256:{digest}" for digest in _HEX.findall(text)}
        registries |= set(_REGISTRY_ID.findall(text))
        repositories |= set(_REPOSITORY_ID.findall(text))
        dashed |= set(_DASHED_ID.findall(text))
    return Place(frozenset(digests), frozenset(registries), frozenset(repositories), frozenset(dashed))


def is_elsewhere(name: str, registry: str, repository: str) -> bool:
    """Whether an image's name holds a registry and a repository, and they are others than these.

    A name that is only a repository, a digest or anything else says nothing about a place. A private endpoint's name of
    a registry, such as ``acr.privatelink.azurecr.io``, is that registry.

    >>> is_elsewhere("acr.azurecr.io/live/app:1", "acr.azurecr.io", "quarantine/app")
    True
    >>> is_elsewhere("live/app", "acr.azurecr.io", "quarantine/app")
    False
    """
    host, named, _ = _parts(_repository_url(name.strip()))
    if "/" not in name or not re.fullmatch(r"[^/]*[.:][^/]*|localhost", host) or named == _UNREADABLE:
        return False
    label, _, domain = _host(registry).partition(".")
    alias = host.startswith(f"{label}.") and host.endswith(f".{domain}")
    return not (alias or _same_registry(host, registry)) or named != repository.lower()


def _repository_url(name: str) -> str:
    """The name in a package URL's qualifier; any other name as it is."""
    if not name.lower().startswith("pkg:"):
        return name
    try:
        return Purl.parse(name).qualifiers.get("repository_url", "")
    except ValueError:
        return ""


def _names(documents: Iterable[Reader], key: str) -> list[str]:
    return [document.text(key) or _UNREADABLE for document in documents if document.has(key)]


def _texts(details: Reader | None) -> list[str]:
    return [] if details is None else [details.text(key).lower() for key in ("Id", "ResourceName")]


def _host(name: str) -> str:
    """A registry's host without scheme, path, port 443 and final dot."""
    return name.lower().rpartition("://")[2].partition("/")[0].removesuffix(":443").rstrip(".") or _UNREADABLE


def _parts(uri: str) -> tuple[str, str, set[str]]:
    """Host, repository and digest of an image's URI."""
    host, _, rest = uri.lower().rpartition("://")[2].partition("/")
    name, _, digest = rest.partition("@")
    last = name.rpartition("/")[2]
    repository = name.removesuffix(f":{last.partition(':')[2]}") if ":" in last else name
    found = {f"sha256:{text}" for text in _HEX.findall(digest)}
    return _host(host), repository or _UNREADABLE, found


def _same_registry(named: str, registry: str) -> bool:
    """Whether a host, or a registry's name from an ARM id, is the registry with that login server.

    A registry's name has no dash: in a login server, what follows a dash is the hash of a domain name label.
    """
    registry = _host(registry)
    return named == registry or ("." not in named and named == registry.partition(".")[0].partition("-")[0])

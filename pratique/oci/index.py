"""What a container runtime could run from an image, whatever is nested in its index.

::

    contents = await read_image(repository, digest, await repository.manifest(digest))
    contents.platforms   # manifests with their platforms, for pratique.platforms.required_manifests
    contents.digests     # everything below the index

Entries are read as containerd reads them: an entry's media type says whether it is an index; an entry without a
platform has the platform of its image's configuration; annotations mean nothing, so only the platform
``unknown/unknown`` makes an attestation. What containerd could not read, or could read in another way, is refused, in
the manifests that a node may choose as well: a scanner must not look at other layers than those that the node unpacks.

Facts: containerd 2.4, ``core/images/image.go`` (``Manifest``, ``validateMediaType``); OCI image-spec v1.1, "Image
Index".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from pratique.errors import NotFound, UnreadableAnswer
from pratique.images import DIGEST_PATTERN, UNKNOWN_PLATFORM, PlatformManifest
from pratique.oci.documents import (
    Ambiguous,
    Document,
    NoImages,
    index_entries,
    manifest_config,
    parse_document,
    platform_of,
)
from pratique.oci.media_types import IMAGE_CONFIGS, INDEXES, MANIFESTS
from pratique.platforms import FALLBACK, Platform, runs_on

MOST_ENTRIES = 1000  # of an index and all indexes below it
MOST_LEVELS = 8  # of indexes
MOST_BYTES = 32 * 1024 * 1024  # of indexes, manifests and configurations together
_AT_ONCE = 8  # requests for manifests
#: Systems of nodes in Kubernetes. An entry that names none is for either.
_SYSTEMS = ("linux", "windows")
_FALLING_BACK = tuple(Platform(system, node) for system in _SYSTEMS for node in FALLBACK.values())


@dataclass(frozen=True)
class Content:
    """Bytes and media type of a manifest or index, as the registry returned them. Its digest is verified."""

    media_type: str
    content: bytes


class Source(Protocol):
    """Reads from one repository. Both methods raise NotFound for what is not there."""

    async def manifest(self, digest: str) -> Content:
        """A manifest or index."""

    async def config(self, digest: str) -> bytes:
        """A configuration.

        :raises UnreadableAnswer: when it is too large
        """


@dataclass(frozen=True)
class ImageContents:
    """What is in an image.

    :ivar platforms: manifests that a runtime could run; an image without an index is its only one
    :ivar digests: of every manifest and index below it
    :ivar others: number of distinct manifests that no runtime runs, such as attestations
    """

    platforms: tuple[PlatformManifest, ...]
    digests: tuple[str, ...]
    others: int


@dataclass(frozen=True)
class _Leaf:
    """A manifest of an index.

    :ivar platform: ``None`` where it is not known
    :ivar stated: whether the index states the platform; if not, it is the configuration's
    :ivar is_manifest: whether the index lists it as a manifest; a runtime runs nothing else
    """

    digest: str
    platform: Platform | None
    stated: bool
    is_manifest: bool


@dataclass(frozen=True)
class _Branch:
    """An index within an index, with the platform that its entry states."""

    digest: str
    platform: Platform | None
    entries: tuple[_Leaf | _Branch, ...]


_Entries = Sequence[_Leaf | _Branch]


async def read_image(
    source: Source, digest: str, content: Content, platforms: Collection[str] | None = None
) -> ImageContents:
    """Read an image, and everything below it if it is an index.

    :param digest: of the content
    :param platforms: of the nodes whose manifests are read as well, to check that every reader finds the same in them;
        ``None`` for every manifest that can be run
    :raises NoImages: when it is an index without images
    :raises Ambiguous: when it is not an image, when not every reader would find the same in it, or when it exceeds the
        bounds
    """
    if content.media_type not in INDEXES:
        platform = await _single_platform(source, content.content)
        return ImageContents((PlatformManifest(str(platform), digest),), (), 0)
    walk = _Walk(source)
    entries = await walk.read(content.content, ())
    leaves = list(_leaves(entries))
    manifests = _manifests(entries, leaves)
    if not manifests:
        raise NoImages("It lists nothing that can be run.")
    chosen = {manifest.digest for manifest in manifests if _needed(manifest, platforms)}
    await walk.check([leaf.digest for leaf in leaves if leaf.is_manifest and leaf.digest in chosen])
    others = {leaf.digest for leaf in leaves} - {manifest.digest for manifest in manifests}
    return ImageContents(manifests, tuple(dict.fromkeys(_digests(entries))), len(others))


async def _single_platform(source: Source, content: bytes) -> Platform:
    config = manifest_config(content)
    if config.text("mediaType") not in IMAGE_CONFIGS:
        raise Ambiguous(f"Its configuration is of the type {config.text('mediaType')!r}.")
    platform = platform_of(parse_document(await source.config(_digest(config))))
    if not (platform.os and platform.runnable):
        raise Ambiguous("Its configuration names no platform.")
    return platform


def _needed(manifest: PlatformManifest, platforms: Collection[str] | None) -> bool:
    """Whether a node of one of the platforms could choose it."""
    if platforms is None or manifest.platform == UNKNOWN_PLATFORM:
        return True
    return any(runs_on(manifest, platform) for platform in platforms)


def _manifests(entries: _Entries, leaves: Iterable[_Leaf]) -> tuple[PlatformManifest, ...]:
    """The manifests that a runtime could run, each platform and digest once."""
    chosen = {node: {id(leaf) for leaf in _could_run(entries, node)} for node in _FALLING_BACK}
    found: dict[tuple[str, str], PlatformManifest] = {}
    for leaf in leaves:
        if leaf.platform is None or leaf.platform.runnable:
            manifest = _platform_manifest(leaf, [node for node, ids in chosen.items() if id(leaf) in ids])
            key = (manifest.platform, manifest.digest)
            also = dict.fromkeys([*(found[key].also if key in found else ()), *manifest.also])
            found[key] = replace(manifest, also=tuple(also))
    return tuple(found.values())


@dataclass
class _Walk:
    """Reads indexes, and what their entries leave open.

    :ivar listed: entries so far; what is listed again counts again
    :ivar size: bytes read so far
    :ivar known: content by digest
    """

    source: Source
    listed: int = 0
    size: int = 0
    known: dict[str, Content] = field(default_factory=dict)
    platforms: dict[str, Platform | None] = field(default_factory=dict)

    async def read(self, content: bytes, path: tuple[str, ...]) -> tuple[_Leaf | _Branch, ...]:
        """The entries of an index.

        :param path: digests of the indexes that it is in, and its own
        """
        self._count(content)
        entries = index_entries(content)
        self.listed += len(entries)
        if self.listed > MOST_ENTRIES:
            raise Ambiguous(f"It and the indexes below it have more than {MOST_ENTRIES} entries.")
        return tuple([await self._entry(entry, path) for entry in entries])

    async def _entry(self, entry: Document, path: tuple[str, ...]) -> _Leaf | _Branch:
        digest, media_type, stated = entry.text("digest"), entry.text("mediaType"), entry.object("platform")
        platform = None if stated is None else platform_of(stated)
        if media_type in INDEXES:
            return _Branch(digest, platform, await self._branch(digest, path))
        is_manifest = media_type in MANIFESTS
        if platform is not None:
            return _Leaf(digest, platform, stated=True, is_manifest=is_manifest)
        if digest not in self.platforms:
            self.platforms[digest] = await self._configured(digest) if is_manifest else None
        return _Leaf(digest, self.platforms[digest], stated=False, is_manifest=is_manifest)

    async def check(self, digests: Iterable[str]) -> None:
        """Read manifests that have not been read yet: a runtime and a scanner must find the same in each."""
        unread = [digest for digest in dict.fromkeys(digests) if digest not in self.known]
        for start in range(0, len(unread), _AT_ONCE):
            await asyncio.gather(*map(self._config_of, unread[start : start + _AT_ONCE]))

    async def _branch(self, digest: str, path: tuple[str, ...]) -> tuple[_Leaf | _Branch, ...]:
        if digest in path:
            raise Ambiguous(f"The index {digest} below it contains itself.")
        if len(path) + 2 > MOST_LEVELS:
            raise Ambiguous(f"It has more than {MOST_LEVELS} levels of indexes.")
        content = await self._manifest(digest, INDEXES)
        with _below(digest):
            return await self.read(content, (*path, digest))

    async def _configured(self, digest: str) -> Platform | None:
        """The platform of an image's configuration; ``None`` when it cannot be read for certain."""
        config = await self._config_of(digest)
        try:
            content = await self.source.config(_digest(config))
            self._count(content)
            return platform_of(parse_document(content))
        except (Ambiguous, NotFound, UnreadableAnswer):
            return None

    async def _config_of(self, digest: str) -> Document:
        """The descriptor of a manifest's configuration."""
        content = await self._manifest(digest, MANIFESTS)
        with _below(digest):
            self._count(content)
            return manifest_config(content)

    async def _manifest(self, digest: str, expected: frozenset[str]) -> bytes:
        if digest not in self.known:
            try:
                self.known[digest] = await self.source.manifest(digest)
            except NotFound:
                raise Ambiguous(f"It lists {digest}, which the registry does not have.") from None
        found = self.known[digest]
        if found.media_type not in expected:
            raise Ambiguous(f"It lists {digest} as another type than the registry's, {found.media_type!r:.100}.")
        return found.content

    def _count(self, content: bytes) -> None:
        self.size += len(content)
        if self.size > MOST_BYTES:
            raise Ambiguous(f"It and what is below it have more than {MOST_BYTES} bytes.")


@contextmanager
def _below(digest: str) -> Iterator[None]:
    """Name the innermost part that a refusal is about."""
    try:
        yield
    except Ambiguous as error:
        error.within = error.within or digest
        raise


def _digest(config: Document) -> str:
    digest = config.text("digest")
    if not re.fullmatch(DIGEST_PATTERN, digest):
        raise Ambiguous(f"Its configuration is {digest!r:.100}, which is not a SHA-256 digest.")
    return digest


def _leaves(entries: _Entries) -> Iterator[_Leaf]:
    for entry in entries:
        if isinstance(entry, _Leaf):
            yield entry
        else:
            yield from _leaves(entry.entries)


def _digests(entries: _Entries) -> Iterator[str]:
    for entry in entries:
        yield entry.digest
        if isinstance(entry, _Branch):
            yield from _digests(entry.entries)


def _could_run(entries: _Entries, node: Platform) -> Iterator[_Leaf]:
    """The manifests that a node may choose. It falls back only where no entry suits every node of its platform."""
    certain = any(_stated(entry) and _suits(entry.platform, node, certain=True) for entry in entries)
    for entry in entries:
        suits = _suits(entry.platform, node) or (not certain and _suits(entry.platform, node, fallback=True))
        if isinstance(entry, _Leaf):
            if suits:
                yield entry
        elif suits or not _stated(entry):
            yield from _could_run(entry.entries, node)


def _stated(entry: _Leaf | _Branch) -> bool:
    """Whether the index states the entry's platform. containerd prefers those."""
    return entry.stated if isinstance(entry, _Leaf) else entry.platform is not None


def _suits(platform: Platform | None, node: Platform, *, fallback: bool = False, certain: bool = False) -> bool:
    if platform is None or platform.os not in ("", node.os):
        return False
    if certain and (platform.variant or platform.specific or not platform.os):
        return False
    architecture = FALLBACK.get(platform.architecture) if fallback else platform.architecture
    return architecture == node.architecture


def _platform_manifest(leaf: _Leaf, nodes: Iterable[Platform]) -> PlatformManifest:
    """:param nodes: platforms of the nodes that may choose it"""
    if leaf.platform is None:
        return PlatformManifest(UNKNOWN_PLATFORM, leaf.digest)
    own = leaf.platform if leaf.platform.os else replace(leaf.platform, os=_SYSTEMS[0])
    also = [f"{system}/{own.architecture}" for system in _SYSTEMS[1:] if not leaf.platform.os]
    also += [str(node) for node in nodes if (node.os, node.architecture) != (own.os, own.architecture)]
    return PlatformManifest(str(own), leaf.digest, tuple(dict.fromkeys(also)))

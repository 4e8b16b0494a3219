"""What is in ``live/``: each image with its digest, since when it is there, where it came from, and who uses it.

The registry itself tells, where this worker can see it. Reading its lists is no pull, so a rescan keeps no image within
Defender's window; only an index that is listed without its parts is fetched. Elsewhere the manifests and the records of
promotions name what they know of, and the inventory says so. An image is judged under its upstream name, for which
exceptions and acceptances are written: that of its promotion, else that of the catalogue, else its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pratique.errors import NetworkDenied, NotFound
from pratique.images import LIVE, ImageReference, PlatformManifest, ResolvedImage
from pratique.manifests.usage import Use
from pratique.oci import acr
from pratique.oci.acr import StoredManifest
from pratique.oci.client import OciClient
from pratique.records.promotions import PromotionRecord, Promotions

_AT_ONCE = 16


@dataclass(frozen=True)
class LiveImageEntry:
    """One image in ``live/``.

    :ivar repository: as in the registry, with ``live/``
    :ivar digest: of what the tags name: an index, or a manifest
    :ivar image: the same under its upstream name
    :ivar pushed: when it came there; ``None`` where nobody tells
    :ivar arrivals: of each of its digests, when it came there, where that is known
    :ivar readable: whether it may be pulled
    :ivar users: files of the manifests that refer to it
    :ivar promotion: the record that explains it
    """

    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    image: ResolvedImage
    pushed: datetime | None
    arrivals: tuple[tuple[str, datetime], ...] = ()
    readable: bool = True
    users: tuple[str, ...] = ()
    promotion: PromotionRecord | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """As :attr:`pratique.records.cases.Case.key`."""
        return (self.registry, self.repository, self.digest)

    @property
    def reference(self) -> ImageReference:
        """Where it stands, by its digest alone."""
        return ImageReference(self.registry, self.repository, digest=self.digest)

    @property
    def name(self) -> str:
        """For people: repository and tags."""
        return f"{self.repository}:{','.join(self.tags)}" if self.tags else f"{self.repository}@{self.digest}"


@dataclass(frozen=True)
class Inventory:
    """Everything in ``live/``.

    :ivar registry: login server
    :ivar seen: whether the registry itself told; if not, there may be more, and some of it may be gone
    :ivar promotions: the records of them
    :ivar notes: sentences on what could not be seen, and on references to what is not there
    """

    registry: str
    images: tuple[LiveImageEntry, ...]
    seen: bool
    promotions: Promotions = field(default_factory=Promotions, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def references(self) -> list[ImageReference]:
        """Each image by a tag, if it has one, and its digest."""
        return [replace(one.reference, tag=one.tags[0] if one.tags else None) for one in self.images]


@dataclass(frozen=True)
class Knowledge:
    """What is known beside the registry.

    :ivar uses: references in the manifests
    :ivar catalogue: upstream references that the configuration names
    """

    promotions: Promotions
    uses: Sequence[Use]
    catalogue: Sequence[ImageReference]


async def take_inventory(client: OciClient, registry: str, known: Knowledge) -> Inventory:
    """List what is in ``live/``.

    :param registry: login server
    :raises PratiqueError: when the registry can be seen, and does not tell
    """
    users = _users(known.uses)
    try:
        names = await acr.repositories(client, registry, LIVE)
    except NetworkDenied as error:
        return _from_elsewhere(registry, known, users, error.observed)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(repository: str) -> list[LiveImageEntry]:
        async with limit:
            try:
                listed = await acr.manifests(client, registry, repository)
            except NotFound:
                return []  # deleted meanwhile
            return [await _entry(client, registry, repository, m, listed, known, users) for m in _images(listed)]

    found = tuple(entry for some in await asyncio.gather(*map(one, names)) for entry in some)
    return Inventory(registry, found, True, known.promotions, tuple(_dangling(found, known.uses)))


def _images(listed: Collection[StoredManifest]) -> Iterator[StoredManifest]:
    """What somebody can run, and is not a part of something else: neither artifacts nor an index's own manifests."""
    parts = {digest for manifest in listed for digest in manifest.children}
    for manifest in listed:
        if (manifest.platforms or not manifest.complete) and (manifest.tags or manifest.digest not in parts):
            yield manifest


async def _entry(
    client: OciClient,
    registry: str,
    repository: str,
    manifest: StoredManifest,
    listed: Collection[StoredManifest],
    known: Knowledge,
    users: Mapping[tuple[str, str], set[str]],
) -> LiveImageEntry:
    platforms = manifest.platforms
    if not manifest.complete:
        place = ImageReference(registry, repository, digest=manifest.digest)
        platforms = (await client.resolve(place)).platforms
    record = known.promotions.explaining(repository, manifest.digest, registry)
    named = _named(registry, repository, manifest.tags, manifest.digest, record, known.catalogue)
    wanted = {manifest.digest, *(one.digest for one in platforms)}
    return LiveImageEntry(
        registry,
        repository,
        manifest.digest,
        manifest.tags,
        ResolvedImage(named, manifest.digest, platforms),
        manifest.created,
        tuple((one.digest, one.created) for one in listed if one.digest in wanted),
        manifest.readable,
        tuple(sorted(_used_by(users, repository, manifest.digest, manifest.tags))),
        record,
    )


def _named(
    registry: str,
    repository: str,
    tags: Sequence[str],
    digest: str,
    record: PromotionRecord | None,
    catalogue: Sequence[ImageReference],
) -> ImageReference:
    """Its upstream name, as far as anybody knows it."""
    if record is not None:
        return ImageReference.parse(record.source)
    below = repository.removeprefix(LIVE)
    for reference in catalogue:
        if reference.repository == below and reference.tag in tags:
            return reference
    return ImageReference(registry, repository, tags[0] if tags else None, None if tags else digest)


def _from_elsewhere(
    registry: str, known: Knowledge, users: Mapping[tuple[str, str], set[str]], observed: str
) -> Inventory:
    """What the records of promotions and the manifests name, where the registry cannot be asked."""
    records = [one for one in known.promotions.records if one.registry == registry]
    by_place: dict[tuple[str, str], list[PromotionRecord]] = {}
    for record in records:
        by_place.setdefault((record.repository, record.digest), []).append(record)
    found = [_recorded(some, users) for some in by_place.values()]
    for use in known.uses:
        if use.digest and (use.repository, use.digest) not in by_place:
            by_place[use.repository, use.digest] = []
            found.append(_only_used(registry, use, known, users))
    note = (
        f"The registry cannot be seen from here ({observed}): these are the images that promotions and manifests name. "
        "What else is in live/ is not known, and what was deleted is not known to be gone."
    )
    return Inventory(registry, tuple(sorted(found, key=lambda one: one.key)), False, known.promotions, (note,))


def _recorded(records: Sequence[PromotionRecord], users: Mapping[tuple[str, str], set[str]]) -> LiveImageEntry:
    first, tags = records[0], tuple(sorted({one.tag for one in records if one.tag}))
    used = tuple(sorted(_used_by(users, first.repository, first.digest, tags)))
    return LiveImageEntry(
        first.registry, first.repository, first.digest, tags, first.image, first.at, (), True, used, first
    )


def _only_used(registry: str, use: Use, known: Knowledge, users: Mapping[tuple[str, str], set[str]]) -> LiveImageEntry:
    """An image of which only a reference is known: its digest is taken for a manifest's, since nobody can look."""
    tags = (use.tag,) if use.tag else ()
    named = _named(registry, use.repository, tags, use.digest, None, known.catalogue)
    image = ResolvedImage(named, use.digest, (PlatformManifest("unknown/unknown", use.digest),))
    used = tuple(sorted(_used_by(users, use.repository, use.digest, tags)))
    return LiveImageEntry(registry, use.repository, use.digest, tags, image, None, (), True, used, None)


def _users(uses: Sequence[Use]) -> Mapping[tuple[str, str], set[str]]:
    """Files by repository and what they name there: the digest, or the tag where they name no digest."""
    found: dict[tuple[str, str], set[str]] = {}
    for use in uses:
        found.setdefault((use.repository, use.digest or use.tag), set()).add(use.file)
    return found


def _used_by(users: Mapping[tuple[str, str], set[str]], repository: str, digest: str, tags: Sequence[str]) -> set[str]:
    return {file for named in (digest, *tags) for file in users.get((repository, named), ())}


def _dangling(found: Collection[LiveImageEntry], uses: Sequence[Use]) -> Iterator[str]:
    there = {(one.repository, named) for one in found for named in (*_digests(one), *one.tags)}
    for use in uses:
        if (use.repository, use.digest or use.tag) not in there:
            yield f"{use.file} refers to {use.repository}:{use.tag}@{use.digest or '?'}, which is not in live/."


def _digests(one: LiveImageEntry) -> Iterator[str]:
    yield one.digest
    yield from (platform.digest for platform in one.image.platforms)

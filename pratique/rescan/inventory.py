"""Lists what is in ``live/``: each image with its digest, when it was pushed, where it came from, and who uses it.

The list comes from the registry, where this worker can reach it. Listing is not pulling, so a rescan does not keep an
image within Defender's window; only an index whose promotion is not on record is fetched, with its manifests
(:mod:`pratique.rescan.stored`). Without access to the registry, the list comes from the manifests and the records of
promotions, and the inventory says so.

An image is assessed under its upstream name, because exceptions and acceptances are written for that name. It is the
name in its promotion's record, else the one in the catalogue, else the image's own. Where it lies is its target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pratique.errors import NetworkDenied, NotFound
from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.images import LIVE, UNKNOWN_PLATFORM, ImageReference, PlatformManifest, ResolvedImage
from pratique.manifests.usage import Use
from pratique.oci import acr
from pratique.oci.acr import StoredManifest
from pratique.oci.client import OciClient
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.rescan.stored import named_digests, possible_images, resolve_stored
from pratique.rescan.users import OtherUse, Users

_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class LiveImageEntry:
    """One image in ``live/``.

    :ivar repository: as in the registry, with ``live/``
    :ivar digest: of the index or manifest that the tags name
    :ivar image: the same under its upstream name
    :ivar pushed: when it was pushed; ``None`` where that is not known
    :ivar arrivals: when each of its digests was pushed, where that is known
    :ivar readable: whether it may be pulled
    :ivar users: manifest files that refer to it
    :ivar elsewhere: other clusters that use it, or may use it, each with the file or the reason
    :ivar promotion: the record that explains it
    :ivar doubt: why it is not certain what a runtime would run from it; empty where it is
    :ivar break_glass: the use of break glass that let it in, if nothing was assessed since
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
    elsewhere: tuple[OtherUse, ...] = ()
    promotion: PromotionRecord | None = None
    doubt: str = ""
    break_glass: BreakGlassUse | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """As :attr:`pratique.records.cases.Case.key`."""
        return (self.registry, self.repository, self.digest)

    @property
    def used(self) -> bool:
        """Whether any cluster uses it, or may use it."""
        return bool(self.users or self.elsewhere)

    @property
    def all_users(self) -> tuple[str, ...]:
        """Everything that uses it, for people."""
        return (*self.users, *map(str, self.elsewhere))

    @property
    def reference(self) -> ImageReference:
        """Its place in the registry, by digest alone."""
        return ImageReference(self.registry, self.repository, digest=self.digest)

    @property
    def name(self) -> str:
        """For people: repository and tags."""
        return f"{self.repository}:{','.join(self.tags)}" if self.tags else f"{self.repository}@{self.digest}"


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything in ``live/``.

    :ivar registry: login server
    :ivar complete: whether the list is the registry's and has no gap; if not, there may be more images, and some may be
        deleted
    :ivar promotions: all records of promotions
    :ivar notes: sentences on what could not be read, and on references to images that are not there
    :ivar cluster: key of the cluster whose configuration the rescan has
    :ivar clusters: keys of all clusters that are registered for the registry
    :ivar promoters: identities that promote images into the registry
    """

    registry: str
    images: tuple[LiveImageEntry, ...]
    complete: bool
    promotions: Promotions = field(default_factory=Promotions, repr=False)
    notes: tuple[str, ...] = ()
    cluster: str = ""
    clusters: frozenset[str] = frozenset()
    promoters: frozenset[str] = frozenset()

    @property
    def references(self) -> list[ImageReference]:
        """Each image by its digest and, if it has one, a tag."""
        return [replace(image.reference, tag=image.tags[0] if image.tags else None) for image in self.images]


@dataclass(frozen=True)
class Knowledge:
    """What is known from other sources than the registry.

    :ivar uses: references in the manifests of all clusters
    :ivar catalogue: upstream references that the configuration names, by repository below ``live/`` and tag
    :ivar unreadable: clusters whose manifests cannot be read
    """

    promotions: Promotions
    uses: Sequence[Use]
    catalogue: Mapping[tuple[str, str], ImageReference]
    unreadable: Sequence[OtherUse] = ()


async def take_inventory(client: OciClient, registry: str, known: Knowledge) -> Inventory:
    """List what is in ``live/``.

    :param registry: login server
    :raises PratiqueError: when the registry can be reached, and does not list its images
    """
    users = Users(known.uses, known.unreadable)
    try:
        names = await acr.repositories(client, registry, LIVE)
    except NetworkDenied as error:
        return _without_registry(registry, known, users, error.observed)
    limit = asyncio.Semaphore(_AT_ONCE)
    named = named_digests(known.uses, known.promotions.records)

    async def entries(repository: str) -> tuple[list[LiveImageEntry], str]:
        async with limit:
            try:
                listed = await acr.manifests(client, registry, repository)
            except NotFound:
                listed = []
            gap = "" if listed else f"The registry names {repository}, and lists nothing in it."
            found = [
                await _entry(client, registry, repository, image, listed, known, users)
                for image in possible_images(listed, named.get(repository, ()))
            ]
            return [entry for entry in found if entry is not None], gap

    lists = await asyncio.gather(*map(entries, names))
    found = tuple(entry for listed, _ in lists for entry in listed)
    gaps = [gap for _, gap in lists if gap]
    if not names and (known.uses or any(record.registry == registry for record in known.promotions.records)):
        gaps.append("The registry names no repository of live/.")
    doubts = [f"{entry.name} cannot be read for certain: {entry.doubt}" for entry in found if entry.doubt]
    return Inventory(
        registry=registry,
        images=found,
        complete=not gaps,
        promotions=known.promotions,
        notes=(*gaps, *doubts, *_dangling(found, known.uses)),
    )


async def _entry(
    client: OciClient,
    registry: str,
    repository: str,
    manifest: StoredManifest,
    listed: Collection[StoredManifest],
    known: Knowledge,
    users: Users,
) -> LiveImageEntry | None:
    """The entry of an image; ``None`` for an index that lists nothing that can be run."""
    record = known.promotions.find(repository, manifest.digest, registry)
    image, doubt = await resolve_stored(
        client, ImageReference(registry, repository, digest=manifest.digest), manifest, record
    )
    if image is None:
        return None
    named = _named(registry, repository, manifest.tags, manifest.digest, record, known.catalogue)
    target = named.target_at(repository.removeprefix(LIVE))
    digests = {*image.digests, *manifest.children}
    judged = {manifest.digest, *(platform.digest for platform in image.platforms)}
    return LiveImageEntry(
        registry=registry,
        repository=repository,
        digest=manifest.digest,
        tags=manifest.tags,
        image=replace(image, reference=named, target=target),
        pushed=manifest.created,
        arrivals=tuple((part.digest, part.created) for part in listed if part.digest in judged),
        readable=manifest.readable,
        users=users.own(repository, digests, manifest.tags),
        elsewhere=users.elsewhere(repository, digests, manifest.tags),
        promotion=record,
        doubt=doubt,
        break_glass=known.promotions.break_glass(registry, repository, manifest.digest),
    )


def _named(
    registry: str,
    repository: str,
    tags: Sequence[str],
    digest: str,
    record: PromotionRecord | None,
    catalogue: Mapping[tuple[str, str], ImageReference],
) -> ImageReference:
    """Its upstream name, as far as it is known."""
    if record is not None:
        return ImageReference.parse(record.source)
    below = repository.removeprefix(LIVE)
    for tag in tags:
        if reference := catalogue.get((below, tag)):
            return reference
    return ImageReference(registry, repository, tags[0] if tags else None, None if tags else digest)


def _without_registry(registry: str, known: Knowledge, users: Users, observed: str) -> Inventory:
    """The inventory from the records of promotions and the manifests, where the registry cannot be reached."""
    records = [record for record in known.promotions.records if record.registry == registry]
    by_place: dict[tuple[str, str], list[PromotionRecord]] = {}
    for record in records:
        by_place.setdefault((record.repository, record.digest), []).append(record)
    found = [_recorded(of_place, known.promotions, users) for of_place in by_place.values()]
    for use in known.uses:
        if use.digest and (use.repository, use.digest) not in by_place:  # also below a recorded index
            by_place[use.repository, use.digest] = []
            found.append(_only_used(registry, use, known, users))
    note = (
        f"The registry cannot be reached from here ({observed}). These are the images in promotions and manifests; "
        "live/ may have more, and some of these may be deleted."
    )
    return Inventory(
        registry=registry,
        images=tuple(sorted(found, key=lambda image: image.key)),
        complete=False,
        promotions=known.promotions,
        notes=(note, *_dangling(found, known.uses)),
    )


def _recorded(records: Sequence[PromotionRecord], promotions: Promotions, users: Users) -> LiveImageEntry:
    first, tags = records[0], tuple(sorted({record.tag for record in records if record.tag}))
    digests = first.image.digests
    return LiveImageEntry(
        registry=first.registry,
        repository=first.repository,
        digest=first.digest,
        tags=tags,
        image=first.image,
        pushed=first.at,
        users=users.own(first.repository, digests, tags),
        elsewhere=users.elsewhere(first.repository, digests, tags),
        promotion=first,
        break_glass=promotions.break_glass(*first.place),
    )


def _only_used(registry: str, use: Use, known: Knowledge, users: Users) -> LiveImageEntry:
    """An image of which only a reference is known. Its digest is taken for a manifest's: nothing can be checked."""
    tags = (use.tag,) if use.tag else ()
    named = _named(registry, use.repository, tags, use.digest, None, known.catalogue)
    target = named.target_at(use.repository.removeprefix(LIVE))
    image = ResolvedImage(named, use.digest, (PlatformManifest(UNKNOWN_PLATFORM, use.digest),), target=target)
    return LiveImageEntry(
        registry=registry,
        repository=use.repository,
        digest=use.digest,
        tags=tags,
        image=image,
        pushed=None,
        users=users.own(use.repository, {use.digest}, tags),
        elsewhere=users.elsewhere(use.repository, {use.digest}, tags),
    )


def _dangling(found: Collection[LiveImageEntry], uses: Sequence[Use]) -> Iterator[str]:
    """Notes on references to what is not among the images."""
    present = {(image.repository, name) for image in found for name in (*image.image.digests, *image.tags, "")}
    for use in uses:
        if (use.repository, use.digest or use.tag) not in present:
            name = f"{use.repository}:{use.tag or '?'}@{use.digest or '?'}"
            yield f"{use.place} refers to {name}, which is not listed here."

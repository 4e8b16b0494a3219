"""Resolves an image that stands in the registry as the gate resolved it: what could a runtime run from it?

The registry's list of manifests does not say. It leaves out variants, media types and what is nested. The record of the
promotion says it, since a digest names the same bytes for ever; an index without one is fetched and read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

from pratique.errors import DigestMismatch, NotFound, NothingToRun, UnreadableAnswer
from pratique.images import UNKNOWN_PLATFORM, ImageReference, PlatformManifest, ResolvedImage
from pratique.manifests.usage import Use
from pratique.oci.acr import StoredManifest
from pratique.oci.client import OciClient
from pratique.records.promotions import PromotionRecord


async def resolve_stored(
    client: OciClient, place: ImageReference, manifest: StoredManifest, record: PromotionRecord | None
) -> tuple[ResolvedImage | None, str]:
    """The image, ``None`` for an index without one, and why it is not certain what a runtime would run from it.

    Of an index that cannot be resolved, its own digest needs a verdict. No source assesses an index, so it does not
    pass.

    :param place: by digest
    :param record: of a promotion to the same repository
    """
    itself = ResolvedImage(place, manifest.digest, (PlatformManifest(UNKNOWN_PLATFORM, manifest.digest),))
    if not manifest.is_index:
        if not manifest.platforms:
            return itself, "The registry does not list it as an image, but something may pull it as one."
        return ResolvedImage(place, manifest.digest, manifest.platforms), ""
    if record is not None and record.digest == manifest.digest and record.resolved:
        return record.image, ""
    if not manifest.readable:
        return itself, "It is locked against pulls, and no record of its promotion says what is in it."
    try:
        return await client.resolve(place), ""
    except NothingToRun:
        return None, ""
    except (DigestMismatch, NotFound, UnreadableAnswer) as error:
        return itself, error.observed


def named_digests(uses: Iterable[Use], records: Iterable[PromotionRecord]) -> Mapping[str, Collection[str]]:
    """The digests that manifests or records name, by repository. Of each there may be as many as images."""
    named: dict[str, set[str]] = {}
    for repository, digest in chain(
        ((use.repository, use.digest) for use in uses), ((record.repository, record.digest) for record in records)
    ):
        named.setdefault(repository, set()).add(digest)
    return named


def possible_images(listed: Collection[StoredManifest], named: Collection[str]) -> Iterator[StoredManifest]:
    """What may be an image: what has a tag or is named; of the rest, what is neither an artifact nor part of an index.

    :param named: digests that manifests or records name
    """
    parts = {digest for manifest in listed for digest in manifest.children}
    for manifest in listed:
        image = bool(manifest.platforms) or manifest.is_index
        if manifest.tags or manifest.digest in named or (image and manifest.digest not in parts):
            yield manifest

"""What the gate has to know of images in quarantine before it asks about them: since when each digest is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from pratique.errors import PermissionDenied, UnreadableAnswer
from pratique.gate.verdict import required_manifests
from pratique.gate.wait import Candidate
from pratique.images import ImageReference, ImportedImage
from pratique.oci.acr import arrival
from pratique.oci.client import OciClient

_AT_ONCE = 16


async def candidates(
    client: OciClient, registry: str, quarantined: Sequence[ImportedImage], platforms: Sequence[str]
) -> list[Candidate]:
    """The images, with the arrival of each digest that needs a verdict.

    A platform's manifest may have been in quarantine long before the index that names it now.

    :param registry: login server of the quarantine registry
    :raises TransientError: when the registry could not be asked this time
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def arrived(place: ImageReference) -> datetime | None:
        async with limit:
            try:
                return await arrival(client, place)
            except (PermissionDenied, UnreadableAnswer):
                return None

    async def candidate(moved: ImportedImage) -> Candidate:
        digests = [manifest.digest for manifest in required_manifests(moved.image, platforms)[0]] if moved.seen else []
        moments = await asyncio.gather(*(arrived(moved.reference.at(digest)) for digest in digests))
        known = tuple((digest, at) for digest, at in zip(digests, moments, strict=True) if at is not None)
        since = max((at for _, at in known), default=moved.imported_at)
        return Candidate(moved.image, registry, moved.reference.repository, since, known)

    return list(await asyncio.gather(*map(candidate, quarantined)))

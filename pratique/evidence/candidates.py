"""Turns quarantined images into gate candidates: adds the time at which each digest arrived in quarantine.

A digest that is not in quarantine arrives now at the earliest, so what was said about it before proves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from pratique.errors import NetworkDenied, NotFound, PermissionDenied, UnreadableAnswer
from pratique.gate.candidate import Candidate
from pratique.images import ImageReference, ImportedImage
from pratique.oci.acr import arrival
from pratique.oci.client import OciClient
from pratique.platforms import required_manifests

_AT_ONCE = 16


async def candidates(
    client: OciClient, registry: str, quarantined: Sequence[ImportedImage], platforms: Sequence[str]
) -> list[Candidate]:
    """The images as candidates, with the arrival time of each digest that needs a verdict.

    A platform's manifest may have been in quarantine long before the index that refers to it.

    :param registry: login server of the quarantine registry
    :raises TransientError: when the registry cannot be queried at the moment
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def arrival_time(reference: ImageReference) -> datetime | None:
        async with limit:
            try:
                return await arrival(client, reference)
            except NotFound:
                return datetime.now(UTC)  # deleted since its import
            except (NetworkDenied, PermissionDenied, UnreadableAnswer):
                return None

    async def candidate(imported: ImportedImage) -> Candidate:
        required = required_manifests(imported.image, platforms)[0] if imported.verified else ()
        digests = [manifest.digest for manifest in required]
        times = await asyncio.gather(*(arrival_time(imported.reference.at(digest)) for digest in digests))
        known = tuple((digest, at) for digest, at in zip(digests, times, strict=True) if at is not None)
        since = max((at for _, at in known), default=None) if len(known) == len(digests) else None
        if not imported.verified:  # it could not be looked at, so its import is all that is known
            since = imported.imported_at
        return Candidate(
            image=imported.image,
            registry=registry,
            repository=imported.reference.repository,
            since=since,
            arrivals=known,
        )

    return list(await asyncio.gather(*map(candidate, quarantined)))

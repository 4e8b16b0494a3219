"""The last look at ``live/`` before manifests that name its images are pushed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.errors import ConfigurationError, Unavailable
from pratique.images import ImportedImage
from pratique.manifests.images import Pin
from pratique.oci.client import OciClient
from pratique.release.contents import Found, NotReadable, Place, look_at
from pratique.release.promotion import ensure_live, tag_taken


async def require_live(
    session: AzureSession, client: OciClient, promoted: Sequence[ImportedImage], source: Registry, target: Registry
) -> list[ImportedImage]:
    """Look whether every promoted image is in ``live/`` now, complete, and restore what is missing.

    A promotion may be remembered from an earlier attempt, and purges do not wait for runs.

    :param source: the quarantine registry
    :param target: the live registry
    :return: the images as they are now; those that this worker cannot see are not ``verified``, and what is known about
        the replicas of restored ones is forgotten
    :raises Conflict: when a tag names another digest
    :raises PratiqueError: when something is missing, and cannot be restored
    """
    looks = await look_at(client, [Place(imported.reference, imported.image) for imported in promoted])
    for look in looks:
        if isinstance(look.digest, str) and look.digest != look.place.image.digest:
            raise tag_taken(look.place, look.digest)

    async def now(imported: ImportedImage, look: Found) -> ImportedImage:
        if isinstance(look.digest, NotReadable):
            return replace(imported, verified=False)
        if look.complete:
            return replace(imported, verified=True)
        return await ensure_live(session, client, imported.image, source, target)

    return list(await asyncio.gather(*(now(*pair) for pair in zip(promoted, looks, strict=True))))


def disappearing(images: Sequence[ImportedImage]) -> Unavailable:
    """The error when a look at ``live/`` and its replicas finds something missing again and again."""
    return Unavailable(
        "publish the manifests",
        ", ".join(str(image.reference) for image in images[:10]),
        "What is missing in live/ or in a replica comes back, and something is missing again.",
        "Keep purges and retention away from manifests below an index, then run again: the registry's log says who "
        "deletes them.",
    )


def require_known_digests(pin: Pin, images: Sequence[ImportedImage]) -> None:
    """Refuse manifests that would name images by tags of which nobody knows what they stand for.

    :raises ConfigurationError: when the manifests name tags only, and this worker does not see the registry
    """
    unseen = [str(image.reference) for image in images if not image.verified]
    if pin == "tag" and unseen:
        raise ConfigurationError(
            "publish the manifests",
            ", ".join(unseen[:10]),
            "With manifests.pin: tag the cluster runs whatever the tags in live/ name, and this worker cannot read "
            "the registry to see which digests these are.",
            "Set manifests.pin to both or digest, or give the worker a private endpoint to the registry.",
        )

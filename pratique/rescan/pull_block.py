"""Blocks pulls of single digests, and allows them again, by the attribute ``readEnabled`` of a manifest.

Running pods continue; a pod cannot start on a node that does not have the image yet. Locks against changes and deletion
(:mod:`pratique.oci.locks`) are other attributes, and stay as they are.

Facts: Microsoft Learn, "Lock a container image in an Azure container registry".
"""

from __future__ import annotations

from pratique.errors import Conflict
from pratique.images import ImageReference
from pratique.oci import acr
from pratique.oci.client import OciClient


async def set_pulls(client: OciClient, reference: ImageReference, *, allowed: bool) -> None:
    """Allow or block pulls of a digest, and check that the registry does so.

    :param reference: with the digest
    :raises PermissionDenied: when this identity may not change attributes
    :raises Conflict: when the attribute has not changed
    """
    by_digest = ImageReference(reference.registry, reference.repository, digest=reference.digest)
    await acr.attributes(client, by_digest, changes={"readEnabled": allowed})
    if await acr.readable(client, by_digest) is not allowed:
        raise Conflict(
            "allow pulls" if allowed else "block pulls",
            str(by_digest),
            f"Its readEnabled is still {not allowed}.",
            "Find out who else changes the attributes of this image, then run again.",
        )

"""Blocks pulls of single digests, and allows them again: the flag ``readEnabled`` of a manifest.

Whatever runs goes on; a pod that starts anew on a node without the image does not.

Facts: Microsoft Learn, "Lock a container image in an Azure container registry".
"""

from __future__ import annotations

from pratique.errors import Conflict
from pratique.images import ImageReference
from pratique.oci import acr
from pratique.oci.client import OciClient


async def set_pulls(client: OciClient, reference: ImageReference, *, allowed: bool) -> None:
    """Allow or block pulls of a digest, and read back that it is so.

    :param reference: with the digest
    :raises PermissionDenied: when this identity may not change attributes: it takes AcrPush
    :raises Conflict: when the registry says otherwise afterwards
    """
    by_digest = ImageReference(reference.registry, reference.repository, digest=reference.digest)
    await acr.attributes(client, by_digest, changes={"readEnabled": allowed})
    if await acr.readable(client, by_digest) is not allowed:
        raise Conflict(
            "allow pulls" if allowed else "block pulls",
            str(by_digest),
            f"Its readEnabled is still {not allowed}.",
            "See who else changes the attributes of this image; run again.",
        )

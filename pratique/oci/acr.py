"""What Azure's registries tell beyond the OCI distribution API.

Facts: azure-containerregistry 1.2 (``/acr/v1``, api-version 2021-07-01).
"""

from __future__ import annotations

from datetime import UTC, datetime

from pratique.errors import NetworkDenied, NotFound, UnreadableAnswer
from pratique.images import ImageReference
from pratique.oci.client import OciClient


async def arrival(client: OciClient, reference: ImageReference) -> datetime | None:
    """When a digest came into its repository; ``None`` when it is not there, or the registry cannot be seen.

    A digest that was deleted and pushed again arrived when it was pushed again; a tag that is set anew changes nothing.

    :param reference: with the digest
    :raises UnreadableAnswer: when the registry does not tell
    """
    try:
        attributes = await client.attributes(reference)
    except (NetworkDenied, NotFound):
        return None
    manifest = attributes.get("manifest")
    created = manifest.get("createdTime") if isinstance(manifest, dict) else None
    try:
        moment = datetime.fromisoformat(str(created))
    except ValueError:
        raise UnreadableAnswer(
            "tell when the image arrived", str(reference), f"Its createdTime is {created!r:.80}.", "Run again."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

"""Everything that refers to a digest, by each of the two ways in which registries list it.

Facts: OCI distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pratique.errors import NotFound, UnreadableAnswer
from pratique.http_answers import json_of
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.oci.media_types import OCI_INDEX
from pratique.oci.transport import Request, base_url

Entry = Mapping[str, Any]


async def listed_by_api(client: OciClient, reference: ImageReference) -> list[Entry]:
    """The first page of the referrers API, unfiltered; empty when the registry has no such API.

    :param reference: with a digest
    """
    request = Request(
        attempted="list the referrers",
        subject=str(reference),
        registry=reference.registry,
        url=f"{base_url(reference.registry)}/v2/{reference.repository}/referrers/{reference.digest}",
        scope=f"repository:{reference.repository}:pull",
        accept=OCI_INDEX,
    )
    try:
        response = await client.transport.send(request)
    except NotFound:
        return []
    return _entries(json_of(response), reference)


async def listed_by_tag(client: OciClient, reference: ImageReference) -> list[Entry]:
    """The index under the referrers tag; empty when there is no such tag.

    :param reference: with a digest
    """
    tag = (reference.digest or "").replace(":", "-")
    try:
        found = await client.manifest(ImageReference(reference.registry, reference.repository, tag))
    except NotFound:
        return []
    return _entries(found.document, reference)


def _entries(document: Any, reference: ImageReference) -> list[Entry]:
    entries = document.get("manifests") or [] if isinstance(document, dict) else None
    if not isinstance(entries, list):
        observed = "The registry's answer is not a list of descriptors."
        raise UnreadableAnswer(
            "list the referrers", str(reference), observed, "Run again; if it persists, report this."
        )
    return [entry for entry in entries if isinstance(entry, dict)]

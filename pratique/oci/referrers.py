"""Everything that refers to a digest, by each of the two ways in which registries list it.

::

    listed = await list_referrers(client, reference)
    [referrer.artifact_type for referrer in listed.found], listed.problem

Both lists are read: the registry's own API, and the index under the referrers tag, which Notation writes for every
registry and which older registries have instead of the API. Registries have listed referrers without their type or
annotations, so nothing is filtered here.

A registry with the API answers 200 with an image index, also about a digest without referrers. Any other answer leaves
open whether it has the API, so that only the tag can show that there are none.

Facts: OCI distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema"; Azure/acr 784.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from pratique.errors import DigestMismatch, NotFound, OperationFailed, Prohibited, UnreadableAnswer
from pratique.images import Descriptor, ImageReference
from pratique.oci.client import OciClient, json_object, next_page
from pratique.oci.media_types import OCI_INDEX
from pratique.oci.transport import Request, base_url

MOST_PAGES = 100  # of the list of one digest

#: A descriptor as a registry lists it.
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Referrer:
    """A manifest that refers to another one as its subject.

    :ivar artifact_type: empty when the registry does not list it
    :ivar annotations: those that are text; registries may list none
    """

    descriptor: Descriptor
    artifact_type: str
    annotations: dict[str, str]


@dataclass(frozen=True)
class Referrers:
    """The referrers of a digest.

    :ivar found: by the API first; each digest once
    :ivar problem: why the list under the referrers tag cannot be read, beside the API's; empty when it can
    :ivar by_index: whether the API answered with an image index, and so shows that the registry has the API
    """

    found: tuple[Referrer, ...]
    problem: str = ""
    by_index: bool = field(default=False, compare=False)


async def list_referrers(client: OciClient, reference: ImageReference) -> Referrers:
    """The referrers that either way lists.

    What is under the tag hides nothing that the API lists: anybody who can push can write the tag.

    :param reference: with a digest
    :raises UnreadableAnswer: when the list is cut, has too many pages, or entries that are not descriptors
    """
    return await with_tagged(client, reference, await referrers_by_api(client, reference))


async def referrers_by_api(client: OciClient, reference: ImageReference) -> Referrers | None:
    """The referrers that the API lists; ``None`` when the registry has no such API, or not this digest.

    :param reference: with a digest
    :raises UnreadableAnswer: when the list is cut, has too many pages, or entries that are not descriptors
    """
    listed = await _pages(client, reference)
    if listed is None:
        return None
    entries, by_index = listed
    return Referrers(_unique([_referrer(entry, reference) for entry in entries]), by_index=by_index)


async def with_tagged(client: OciClient, reference: ImageReference, by_api: Referrers | None) -> Referrers:
    """The referrers that the API lists, and those that the index under the referrers tag adds.

    :param reference: with a digest
    :param by_api: as :func:`referrers_by_api`
    :raises UnreadableAnswer: when only the tag could list them, and its list cannot be read
    """
    found, problem = list(by_api.found if by_api else ()), ""
    try:
        found += [_referrer(entry, reference) for entry in await listed_by_tag(client, reference)]
    except (UnreadableAnswer, DigestMismatch, OperationFailed, Prohibited) as error:
        if by_api is None:
            raise
        problem = error.observed
    return Referrers(_unique(found), problem, by_index=by_api is not None and by_api.by_index)


def _unique(found: Sequence[Referrer]) -> tuple[Referrer, ...]:
    """Each digest once, as it is listed first."""
    unique = {item.descriptor.digest: item for item in reversed(found)}
    return tuple(reversed(unique.values()))


async def listed_by_api(client: OciClient, reference: ImageReference) -> Sequence[Entry] | None:
    """All pages of the referrers API, unfiltered; ``None`` when the registry has no such API, or not this digest.

    :param reference: with a digest
    :raises UnreadableAnswer: when a later page is missing, there are too many, or it is not a list of descriptors
    """
    listed = await _pages(client, reference)
    return None if listed is None else listed[0]


async def _pages(client: OciClient, reference: ImageReference) -> tuple[list[Entry], bool] | None:
    """What the API lists, and whether each page was an image index; ``None`` for a 404."""
    request = Request(
        attempted="list the referrers",
        subject=str(reference),
        registry=reference.registry,
        url=f"{base_url(reference.registry)}/v2/{reference.repository}/referrers/{reference.digest}",
        scope=f"repository:{reference.repository}:pull",
        accept=OCI_INDEX,
    )
    entries: list[Entry] = []
    by_index = True
    for page in range(MOST_PAGES):
        try:
            response = await client.transport.send(request)
        except NotFound:
            if page:
                raise _unreadable(reference, "The list goes on, but its next page is missing.") from None
            return None
        document = json_object(response, reference)
        entries += _entries(document, reference)
        by_index = by_index and _is_index(response, document)
        url = next_page(response, reference)
        if url is None:
            return entries, by_index
        request = replace(request, url=url)
    raise _unreadable(reference, f"The list has more than {MOST_PAGES} pages.")


async def listed_by_tag(client: OciClient, reference: ImageReference) -> Sequence[Entry]:
    """The index under the referrers tag; empty when there is no such tag.

    :param reference: with a digest
    """
    tag = (reference.digest or "").replace(":", "-")
    try:
        found = await client.manifest(ImageReference(reference.registry, reference.repository, tag))
    except NotFound:
        return []
    return _entries(found.document, reference)


def _is_index(response: httpx.Response, document: Mapping[str, Any]) -> bool:
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return media_type == OCI_INDEX and isinstance(document.get("manifests"), list)


def _entries(document: Mapping[str, Any], reference: ImageReference) -> list[Entry]:
    entries = document.get("manifests") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _unreadable(reference, "It is not a list of descriptors.")
    return entries


def _referrer(entry: Entry, reference: ImageReference) -> Referrer:
    try:
        descriptor = Descriptor(str(entry["mediaType"]), str(entry["digest"]), int(entry["size"]))
        return Referrer(descriptor, str(entry.get("artifactType") or ""), _annotations(entry.get("annotations")))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _unreadable(reference, "The list has an entry that is not a descriptor.") from None


def _annotations(annotations: object) -> dict[str, str]:
    """The valid annotations. Invalid ones are dropped: one referrer must not make the whole list unreadable."""
    pairs = annotations.items() if isinstance(annotations, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str)}


def _unreadable(reference: ImageReference, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer(
        "list the referrers", str(reference), observed, "Run again; if it persists, ask the registry's operator."
    )

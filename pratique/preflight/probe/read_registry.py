"""Reads the referrers of the catalogue's images, the findings artifacts among them, and their signatures.

Facts and types: :mod:`pratique.evidence.findings_artifact`. Reading a manifest counts as a pull of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pratique.azure.defender import recommendations
from pratique.errors import DigestMismatch, NotFound, PratiqueError, UnreadableAnswer
from pratique.evidence.findings_artifact import CREATED_ANNOTATION, IN_TOTO, LARGEST_STATEMENT, PREDICATE_ANNOTATION
from pratique.evidence.signatures.envelope import ARTIFACT_TYPE as SIGNATURE
from pratique.evidence.signatures.envelope import LARGEST as LARGEST_ENVELOPE
from pratique.images import ImageReference
from pratique.oci.client import Manifest, OciClient
from pratique.oci.media_types import INDEXES
from pratique.oci.referrers import Entry, listed_by_api, listed_by_tag
from pratique.preflight.probe import artifacts
from pratique.preflight.probe.answers import Answer, counted
from pratique.preflight.probe.artifacts import BY_API, BY_TAG, Artifact, ImageReferrers, Signature
from pratique.preflight.probe.outline import named
from pratique.preflight.probe.place import Place

MOST_IMAGES = 12  # of the catalogue, in each of quarantine/ and live/
MOST_PLATFORMS = 2  # of one image
MOST_ARTIFACTS = 2  # of one manifest, newest first
MOST_SIGNATURES = 4  # of one artifact
_AT_ONCE = 8
_UNUSABLE = (UnreadableAnswer, DigestMismatch, NotFound)

#: A referrer's entry, and the ways in which it was found, by digest.
_Listed = Mapping[str, tuple[Entry, frozenset[str]]]


async def artifact_answers(place: Place) -> list[Answer]:
    """The answers about findings artifacts."""
    found = place.deployed()
    await place.client.ping(found.registry.login_server)
    references = [
        (name, at)
        for image in place.config.catalogue.images[:MOST_IMAGES]
        for name, at in (
            ("quarantine", image.location.quarantined(found.quarantine.login_server)),
            ("live", image.location.released(found.registry.login_server)),
        )
    ]
    limit = asyncio.Semaphore(_AT_ONCE)

    async def read(name: str, reference: ImageReference) -> list[tuple[str, ImageReferrers]]:
        async with limit:
            return await _image(place.client, name, reference)

    images = [
        image
        for group in await asyncio.gather(*(read(*named_reference) for named_reference in references))
        for image in group
    ]
    codes = await _row_codes(place, {digest for digest, _ in images})
    read_images = [
        ImageReferrers(
            image.place,
            image.kind,
            image.referrer_types,
            image.artifacts,
            None if codes is None else codes.get(digest, ()),
        )
        for digest, image in images
    ]
    return artifacts.answers(read_images, place.redactor)


async def _image(client: OciClient, name: str, reference: ImageReference) -> list[tuple[str, ImageReferrers]]:
    """The image behind a tag, and some of its platforms, each with its digest; nothing when it is not there."""
    try:
        top = await client.manifest(reference)
    except _UNUSABLE:
        return []
    kind = "index" if top.media_type in INDEXES else "image"
    digests = [(top.digest, kind), *((digest, "image") for digest in _platforms(top))]
    return [(digest, await _referrers(client, name, what, reference.at(digest))) for digest, what in digests]


def _platforms(manifest: Manifest) -> list[str]:
    entries = manifest.document.get("manifests") if manifest.media_type in INDEXES else None
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    platforms = [entry.get("platform") for entry in entries]
    runnable = [
        str(entry.get("digest"))
        for entry, platform in zip(entries, platforms, strict=True)
        if isinstance(platform, dict) and platform.get("os") != "unknown"
    ]
    return runnable[:MOST_PLATFORMS]


async def _referrers(client: OciClient, name: str, kind: str, reference: ImageReference) -> ImageReferrers:
    listed = await _listed(client, reference)
    newest = sorted((entry for entry, _ in listed.values() if _is_statement(entry)), key=_created, reverse=True)[
        :MOST_ARTIFACTS
    ]
    read = [await _artifact(client, reference, entry, listed[str(entry["digest"])][1]) for entry in newest]
    types = {way: _types([entry for entry, ways in listed.values() if way in ways]) for way in (BY_API, BY_TAG)}
    return ImageReferrers(name, kind, types, tuple(artifact for artifact in read if artifact is not None))


async def _artifact(
    client: OciClient, reference: ImageReference, entry: Entry, ways: frozenset[str]
) -> Artifact | None:
    pinned = reference.at(str(entry["digest"]))
    try:
        manifest = await client.manifest(pinned)
        listed = await _listed(client, pinned)
    except _UNUSABLE:
        return None
    layer = _layer(manifest.document)
    signatures = [
        (referrer, by)
        for referrer, by in listed.values()
        if "signature" in str(referrer.get("artifactType")).casefold()
    ]
    size = layer.get("size")
    return Artifact(
        found_by=ways,
        manifest=manifest.document,
        size=size if isinstance(size, int) else 0,
        statement=await _blob(client, pinned, layer, LARGEST_STATEMENT),
        signatures=tuple([await _signature(client, reference, *found) for found in signatures[:MOST_SIGNATURES]]),
        referrer_types=_types([referrer for referrer, _ in listed.values()]),
    )


async def _signature(client: OciClient, reference: ImageReference, entry: Entry, ways: frozenset[str]) -> Signature:
    pinned = reference.at(str(entry["digest"]))
    try:
        manifest = await client.manifest(pinned)
    except _UNUSABLE:
        return Signature(ways, None, SIGNATURE)
    layer = _layer(manifest.document)
    content = await _blob(client, pinned, layer, LARGEST_ENVELOPE)
    return Signature(ways, manifest.document, str(layer.get("mediaType") or ""), content)


async def _listed(client: OciClient, reference: ImageReference) -> _Listed:
    """Every referrer that either way lists."""
    found: dict[str, tuple[Entry, frozenset[str]]] = {}
    for way, listing in ((BY_API, listed_by_api), (BY_TAG, listed_by_tag)):
        try:
            entries = await listing(client, reference)
        except _UNUSABLE:
            continue
        for entry in entries or ():
            digest = str(entry.get("digest"))
            if digest.startswith("sha256:") and digest[7:].isalnum():
                found[digest] = (entry, found[digest][1] | {way} if digest in found else frozenset({way}))
    return found


async def _blob(client: OciClient, reference: ImageReference, layer: Mapping[str, Any], largest: int) -> bytes | None:
    digest, size = layer.get("digest"), layer.get("size")
    if not isinstance(digest, str) or not isinstance(size, int) or size > largest:
        return None
    try:
        return await client.blob(reference, digest, largest=largest)
    except _UNUSABLE:
        return None


async def _row_codes(place: Place, digests: set[str]) -> Mapping[str, tuple[str, ...]] | None:
    """Status codes of Defender's rows by digest; ``None`` when they cannot be read."""
    try:
        rows = await recommendations(place.session, digests)
    except PratiqueError:
        return None
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        properties = row.get("properties")
        status = named(properties, "status") if isinstance(properties, dict) else None
        code = place.redactor.word(str(named(status, "code"))) if isinstance(status, dict) else "no status"
        digest = f"sha256:{row['digest']}"
        found[digest] = (*found.get(digest, ()), code)
    return found


def _is_statement(entry: Entry) -> bool:
    annotations = entry.get("annotations")
    noted = isinstance(annotations, dict) and PREDICATE_ANNOTATION in annotations
    return entry.get("artifactType") == IN_TOTO or noted


def _created(entry: Entry) -> str:
    annotations = entry.get("annotations")
    return str(annotations.get(CREATED_ANNOTATION)) if isinstance(annotations, dict) else ""


def _layer(document: Mapping[str, Any]) -> Mapping[str, Any]:
    layers = document.get("layers")
    first = layers[0] if isinstance(layers, list) and layers else None
    return first if isinstance(first, dict) else {}


def _types(entries: Sequence[Entry]) -> dict[str, int]:
    return counted(str(entry.get("artifactType") or "") for entry in entries)

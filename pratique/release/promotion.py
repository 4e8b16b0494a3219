"""The two moves of an image: from upstream into quarantine, and from quarantine into ``live/``.

Both go by digest, both look first and do nothing when the work is done already, and both read back what came of it
wherever the registry's data plane can be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from pratique.azure.registries import Internal, Registry, RegistryCredentials, Upstream, import_image
from pratique.azure.session import AzureSession
from pratique.errors import ConfigurationError, Conflict, DigestMismatch, NetworkDenied, NotFound, Unavailable
from pratique.gate.clearance import PromotionClearance
from pratique.images import ImageReference, ImportedImage, ResolvedImage, UnresolvedReference
from pratique.oci.client import OciClient

#: Manifests of one image that importImage takes (Microsoft Learn, "Import container images to a container registry").
_MOST_MANIFESTS = 50


class NotReadable:
    """The data plane is closed to this worker: neither there nor absent."""


NOT_READABLE = NotReadable()


async def resolve(client: OciClient, reference: ImageReference) -> ResolvedImage | UnresolvedReference:
    """The digest that the upstream registry names now; a worker without a way there gets :class:`UnresolvedReference`.

    :raises PratiqueError: when the registry answers, but not with this image
    """
    try:
        return await client.resolve(reference)
    except NetworkDenied as error:
        return UnresolvedReference(reference, error.observed)


async def quarantine(
    session: AzureSession,
    client: OciClient,
    registry: Registry,
    image: ResolvedImage | UnresolvedReference,
    credentials: Mapping[str, RegistryCredentials],
) -> ImportedImage:
    """Import an image into ``quarantine/``.

    A quarantine tag may move: what counts is the digest, and that is what is imported.

    :param credentials: by source registry
    :raises ConfigurationError: when the image has more manifests than can be imported
    """
    began = datetime.now(UTC)
    quarantined = await _quarantined(session, client, registry, image, credentials)
    return replace(quarantined, imported_at=began) if quarantined.outcome == "imported" else quarantined


async def _quarantined(
    session: AzureSession,
    client: OciClient,
    registry: Registry,
    image: ResolvedImage | UnresolvedReference,
    credentials: Mapping[str, RegistryCredentials],
) -> ImportedImage:
    source = image.reference
    target = source.quarantined(registry.login_server)
    account = credentials.get(source.registry)
    if isinstance(image, UnresolvedReference):
        upstream = Upstream(source.registry, source.repository, source.digest or source.tag or "", account)
        await import_image(session, registry, source=upstream, targets=[_path(target)], force=True)
        resolved = await _read_back(client, source, target)
        return ImportedImage(resolved, target.at(resolved.digest), "imported", True)
    _check_size(image)
    there = await digest_at(client, target)
    if there == image.digest:
        return ImportedImage(image, target.at(image.digest), "already there", True)
    upstream = Upstream(source.registry, source.repository, image.digest, account)
    await import_image(session, registry, source=upstream, targets=[_path(target)], force=True)
    return await _imported(client, image, target)


async def promote(
    session: AzureSession,
    client: OciClient,
    image: ResolvedImage,
    clearance: PromotionClearance,
    source: Registry,
    target: Registry,
) -> ImportedImage:
    """Import exactly the cleared digest from ``quarantine/`` into ``live/``.

    :param source: the quarantine registry
    :param target: the live registry
    :raises GateBlocked: when the clearance is for another digest
    :raises Conflict: when the tag in ``live/`` stands for another digest; a released tag is never moved
    """
    clearance.require(image)
    place = image.reference.released(target.login_server)
    there = await digest_at(client, place)
    if there == image.digest:
        return ImportedImage(image, place.at(image.digest), "already there", True)
    if isinstance(there, str):
        raise _tag_taken(place, image.digest, there)
    internal = Internal(source.id, image.reference.quarantined(source.login_server).repository, image.digest)
    try:
        await import_image(session, target, source=internal, targets=[_path(place)], force=False)
    except Conflict:
        there = await digest_at(client, place)
        if isinstance(there, NotReadable):
            return await _promoted_unseen(session, image, internal, target, place)
        # Another attempt of this run may have finished meanwhile. A tag that stands for something else is a conflict.
        if there != image.digest:
            raise
    return await _imported(client, image, place)


async def _promoted_unseen(
    session: AzureSession, image: ResolvedImage, source: Internal, target: Registry, place: ImageReference
) -> ImportedImage:
    """The tag is taken, and what it stands for cannot be seen from here: it is not moved.

    A tag that only this digest can have makes sure that the digest is there, and stays when untagged ones are deleted.
    """
    own = replace(place, tag=f"{place.tag}-{image.digest.removeprefix('sha256:')[:12]}")
    with suppress(Conflict):  # then it was made by an earlier run
        await import_image(session, target, source=source, targets=[_path(own)], force=False)
    return ImportedImage(image, place.at(image.digest), "already there", False)


async def _imported(client: OciClient, image: ResolvedImage, target: ImageReference) -> ImportedImage:
    """:raises DigestMismatch: when something else than what was imported stands there"""
    there = await digest_at(client, target)
    if isinstance(there, NotReadable):
        return ImportedImage(image, target.at(image.digest), "imported", False)
    if there != image.digest:
        raise DigestMismatch(
            "verify what was imported",
            str(target),
            f"It should be {image.digest} and is {there or 'absent'}.",
            "Somebody else writes to this repository. Find out who (the registry's log), then run again.",
        )
    return ImportedImage(image, target.at(image.digest), "imported", True)


async def digest_at(client: OciClient, reference: ImageReference) -> str | NotReadable | None:
    """What stands there now: a digest, nothing, or what this worker cannot see."""
    try:
        return await client.head(reference)
    except NetworkDenied:
        return NOT_READABLE


async def _read_back(client: OciClient, source: ImageReference, target: ImageReference) -> ResolvedImage:
    try:
        found = await client.resolve(target)
    except NotFound as error:
        raise Unavailable("read the imported digest", str(target), error.observed, "Run again.") from None
    except NetworkDenied as error:
        raise NetworkDenied(
            "learn the digest of the image",
            str(source),
            f"Neither its registry nor ours can be reached: {error.observed}",
            "Give the worker a way to one of them: egress to the source, or a private endpoint to the registry.",
        ) from None
    if source.digest and found.digest != source.digest:
        raise DigestMismatch("verify what was imported", str(target), f"It is {found.digest}.", "Run again.")
    return replace(found, reference=source)


def _check_size(image: ResolvedImage) -> None:
    if (listed := len(image.platforms) + image.attestations) > _MOST_MANIFESTS:
        raise ConfigurationError(
            "import the image",
            str(image.reference),
            f"Its index lists {listed} manifests; Azure Container Registry imports at most {_MOST_MANIFESTS} at once.",
            "Name the digest of the platform's manifest in the catalogue (…:tag@sha256:…) instead of the index.",
        )


def _tag_taken(place: ImageReference, wanted: str, there: str) -> Conflict:
    return Conflict(
        "promote the image",
        str(place),
        f"The tag already stands for {there}, not for {wanted}: upstream has moved it since it was released.",
        "A released tag is never moved. Use a new tag upstream, or remove the old one from live/ if nothing runs it.",
    )


def _path(reference: ImageReference) -> str:
    return f"{reference.repository}:{reference.tag}"

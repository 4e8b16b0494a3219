"""Imports an image from upstream into quarantine, and promotes it from quarantine into ``live/``.

Both import by digest, do nothing when the image is already there, and verify the result if the worker can reach the
registry's data plane.
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

#: Manifests of one image that importImage accepts (Microsoft Learn, "Import container images to a container registry").
_MOST_MANIFESTS = 50


class NotReadable:
    """This worker cannot reach the data plane, so it does not know whether the image is there."""


NOT_READABLE = NotReadable()


async def resolve(client: OciClient, reference: ImageReference) -> ResolvedImage | UnresolvedReference:
    """The current digest upstream; :class:`UnresolvedReference` when the worker cannot reach the upstream registry.

    :raises PratiqueError: when the registry answers, but does not return this image
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

    A quarantine tag may move, as the image is identified by its digest, and imported by it.

    :param credentials: by source registry
    :raises ConfigurationError: when the image has more manifests than Azure Container Registry can import
    """
    began = datetime.now(UTC)
    imported = await _quarantine(session, client, registry, image, credentials)
    return replace(imported, imported_at=began) if imported.outcome == "imported" else imported


async def _quarantine(
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
        return ImportedImage(image=resolved, reference=target.at(resolved.digest), outcome="imported", verified=True)
    _check_size(image)
    current = await digest_at(client, target)
    if current == image.digest:
        return ImportedImage(image=image, reference=target.at(image.digest), outcome="already there", verified=True)
    upstream = Upstream(source.registry, source.repository, image.digest, account)
    await import_image(session, registry, source=upstream, targets=[_path(target)], force=True)
    return await _verify_import(client, image, target)


async def promote(
    session: AzureSession,
    client: OciClient,
    image: ResolvedImage,
    clearance: PromotionClearance,
    source: Registry,
    target: Registry,
) -> ImportedImage:
    """Import the cleared digest, and no other, from ``quarantine/`` into ``live/``.

    :param source: the quarantine registry
    :param target: the live registry
    :raises GateBlocked: when the clearance is for another digest
    :raises Conflict: when the tag in ``live/`` refers to another digest; a released tag is never moved
    """
    clearance.require(image)
    live = image.reference.released(target.login_server)
    current = await digest_at(client, live)
    if current == image.digest:
        return ImportedImage(image=image, reference=live.at(image.digest), outcome="already there", verified=True)
    if isinstance(current, str):
        raise _tag_taken(live, image.digest, current)
    internal = Internal(source.id, image.reference.quarantined(source.login_server).repository, image.digest)
    try:
        await import_image(session, target, source=internal, targets=[_path(live)], force=False)
    except Conflict:
        current = await digest_at(client, live)
        if isinstance(current, NotReadable):
            return await _promote_unreadable(session, image, internal, target, live)
        # Another attempt of this run may have succeeded meanwhile. A tag with another digest is a conflict.
        if current != image.digest:
            raise
    return await _verify_import(client, image, live)


async def _promote_unreadable(
    session: AzureSession, image: ResolvedImage, source: Internal, target: Registry, live: ImageReference
) -> ImportedImage:
    """Promote an image whose tag is taken, by a digest that this worker cannot read. The tag is not moved.

    A second tag that is unique to this digest ensures that the digest is there, and keeps it when untagged digests are
    deleted.
    """
    unique = replace(live, tag=f"{live.tag}-{image.digest.removeprefix('sha256:')[:12]}")
    with suppress(Conflict):  # an earlier run created it
        await import_image(session, target, source=source, targets=[_path(unique)], force=False)
    return ImportedImage(image=image, reference=live.at(image.digest), outcome="already there", verified=False)


async def _verify_import(client: OciClient, image: ResolvedImage, target: ImageReference) -> ImportedImage:
    """:raises DigestMismatch: when the target does not have the imported digest"""
    current = await digest_at(client, target)
    if isinstance(current, NotReadable):
        return ImportedImage(image=image, reference=target.at(image.digest), outcome="imported", verified=False)
    if current != image.digest:
        raise DigestMismatch(
            "verify the import",
            str(target),
            f"It should be {image.digest} and is {current or 'absent'}.",
            "Somebody else writes to this repository. Find out who from the registry's log, then run it again.",
        )
    return ImportedImage(image=image, reference=target.at(image.digest), outcome="imported", verified=True)


async def digest_at(client: OciClient, reference: ImageReference) -> str | NotReadable | None:
    """The current digest at a reference; ``None`` when there is none, :data:`NOT_READABLE` when out of reach."""
    try:
        return await client.head(reference)
    except NetworkDenied:
        return NOT_READABLE


async def _read_back(client: OciClient, source: ImageReference, target: ImageReference) -> ResolvedImage:
    try:
        found = await client.resolve(target)
    except NotFound as error:
        raise Unavailable("read the imported digest", str(target), error.observed, "Run it again.") from None
    except NetworkDenied as error:
        raise NetworkDenied(
            "read the digest of the image",
            str(source),
            f"This worker can reach neither the source registry nor the cluster's: {error.observed}",
            "Open a path to one of them: egress to the source, or a private endpoint for the cluster's registry.",
        ) from None
    if source.digest and found.digest != source.digest:
        raise DigestMismatch("verify the import", str(target), f"It is {found.digest}.", "Run it again.")
    return replace(found, reference=source)


def _check_size(image: ResolvedImage) -> None:
    if (listed := len(image.contents)) > _MOST_MANIFESTS:
        raise ConfigurationError(
            "import the image",
            str(image.reference),
            f"Its index lists {listed} manifests; Azure Container Registry imports at most {_MOST_MANIFESTS} at once.",
            "In the catalogue, add the digest of the platform's manifest to the source (…:tag@sha256:…).",
        )


def _tag_taken(live: ImageReference, wanted: str, current: str) -> Conflict:
    return Conflict(
        "promote the image",
        str(live),
        f"The tag already refers to {current}, not to {wanted}: upstream has moved it since it was released.",
        "A released tag is never moved. Use a new tag upstream, or remove the old one from live/ if nothing runs it.",
    )


def _path(reference: ImageReference) -> str:
    return f"{reference.repository}:{reference.tag}"

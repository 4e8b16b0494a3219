"""Imports an image from upstream into quarantine, and promotes it from quarantine into ``live/``.

Both import by digest, do nothing when the image is already there with everything below its digest, restore what is
missing below it, and verify the result if the worker can reach the registry's data plane.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from pratique.azure.registries import Internal, Registry, RegistryCredentials, Upstream, import_image
from pratique.azure.session import AzureSession
from pratique.errors import (
    ConfigurationError,
    Conflict,
    DigestMismatch,
    NetworkDenied,
    NotFound,
    TagExists,
    Unavailable,
)
from pratique.gate.clearance import PromotionClearance
from pratique.images import ImageReference, ImportedImage, Outcome, ResolvedImage, UnresolvedReference
from pratique.oci.client import OciClient
from pratique.release.contents import Found, NotReadable, Place, digest_at, look_at, restore

#: Manifests of one image that importImage accepts (Microsoft Learn, "Import container images to a container registry").
_MOST_MANIFESTS = 50


async def resolve(
    client: OciClient, reference: ImageReference, platforms: Collection[str], target: str = ""
) -> ResolvedImage | UnresolvedReference:
    """The current digest upstream; :class:`UnresolvedReference` when the worker cannot reach the upstream registry.

    :param platforms: that need a verdict
    :param target: the repository below ``quarantine/`` and ``live/``; by default the reference's own
    :raises PratiqueError: when the registry answers, but does not return this image
    """
    target = reference.target_at(target or reference.repository)
    try:
        return replace(await client.resolve(reference, platforms), target=target)
    except NetworkDenied as error:
        return UnresolvedReference(reference, error.observed, target)


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
    target = image.location.quarantined(registry.login_server)
    account = credentials.get(source.registry)
    if isinstance(image, UnresolvedReference):
        upstream = Upstream(source.registry, source.repository, source.digest or source.tag or "", account)
        await import_image(session, registry, source=upstream, targets=[_path(target)], force=True)
        resolved = await _read_back(client, image, target)
        return ImportedImage(image=resolved, reference=target.at(resolved.digest), outcome="imported", verified=True)
    _check_size(image)

    def upstream_of(digest: str) -> Upstream:
        return Upstream(source.registry, source.repository, digest, account)

    (found,) = await look_at(client, [Place(target, image)])
    if found.digest == image.digest:
        return await _completed(session, client, registry, found, upstream_of, "already there")
    await import_image(session, registry, source=upstream_of(image.digest), targets=[_path(target)], force=True)
    # What the gate asks about next shows whether everything below it arrived: here the tag is enough.
    found = Found(found.place, await digest_at(client, target))
    return await _completed(session, client, registry, found, upstream_of, "imported")


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
    return await ensure_live(session, client, image, source, target)


async def ensure_live(
    session: AzureSession, client: OciClient, image: ResolvedImage, source: Registry, target: Registry
) -> ImportedImage:
    """Import what ``live/`` lacks of an image that the gate lets pass: its tag, or manifests below its digest.

    :raises Conflict: when the tag refers to another digest, or the registry refuses the import
    """
    place = Place(image.location.released(target.login_server), image)

    def quarantined(digest: str) -> Internal:
        return Internal(source.id, image.location.quarantined(source.login_server).repository, digest)

    (found,) = await look_at(client, [place])
    if found.digest == image.digest:
        return await _completed(session, client, target, found, quarantined, "already there")
    if isinstance(found.digest, str):
        raise tag_taken(place, found.digest)
    try:
        await import_image(
            session, target, source=quarantined(image.digest), targets=[_path(place.reference)], force=False
        )
    except TagExists as error:
        if isinstance(found.digest, NotReadable):
            return await _promote_unreadable(session, image, quarantined(image.digest), target, place.reference)
        found = await _require_tag(session, client, target, place, quarantined, error)
    else:
        (found,) = await look_at(client, [place])
    return await _completed(session, client, target, found, quarantined, "imported")


async def _require_tag(
    session: AzureSession,
    client: OciClient,
    target: Registry,
    place: Place,
    source: Callable[[str], Internal],
    refusal: TagExists,
) -> Found:
    """After a refused import: another attempt has created the tag meanwhile, or it names a manifest that was deleted.

    :return: what is there, under the image's digest
    :raises Conflict: when the tag names another digest, or a manifest that is not there
    """
    (found,) = await look_at(client, [place])
    if isinstance(found.digest, NotReadable):
        raise refusal
    if found.digest is None:
        await restore(session, target, place.reference.repository, [place.image.digest], source)
        (found,) = await look_at(client, [place])
    if found.digest is None:
        raise Conflict(
            refusal.attempted,
            str(place.reference),
            "The tag exists, and names a manifest that was deleted, which is another one than this image's.",
            "A released tag is never moved. Remove the tag (az acr repository untag), or use a new tag upstream.",
        )
    if isinstance(found.digest, str) and found.digest != place.image.digest:
        raise tag_taken(place, found.digest)
    return found


async def _promote_unreadable(
    session: AzureSession, image: ResolvedImage, source: Internal, target: Registry, live: ImageReference
) -> ImportedImage:
    """Promote an image whose tag is taken, by a digest that this worker cannot read. The tag is not moved.

    A second tag that is unique to this digest ensures that the digest is there, and keeps it when untagged digests are
    deleted.
    """
    unique = replace(live, tag=unique_tag(live.tag or "", image.digest))
    with suppress(TagExists):  # an earlier run created it
        await import_image(session, target, source=source, targets=[_path(unique)], force=False)
    return ImportedImage(image=image, reference=live.at(image.digest), outcome="already there", verified=False)


async def _completed(
    session: AzureSession,
    client: OciClient,
    registry: Registry,
    found: Found,
    source: Callable[[str], Internal | Upstream],
    outcome: Outcome,
) -> ImportedImage:
    """Restore what is missing below the image's digest, and read it back.

    :param found: after the import, if there was one
    :raises DigestMismatch: when the tag names another digest
    :raises Unavailable: when the registry does not show yet what was imported
    """
    place, restored = found.place, found.missing
    if restored:
        await restore(session, registry, place.reference.repository, restored, source)
        (found,) = await look_at(client, [place])
    reference, readable = place.reference.at(place.image.digest), not isinstance(found.digest, NotReadable)
    if readable and not found.complete:
        # Replicas of a registry are eventually consistent (Azure/acr issues 716 and 880).
        kind = Unavailable if found.digest in (None, place.image.digest) else DigestMismatch
        raise kind(
            "verify the import",
            str(place.reference),
            f"It should be {place.image.digest}, complete, and is {found.description}.",
            "If it stays so, somebody else writes to this repository or purges it: the registry's log says who.",
        )
    return ImportedImage(
        image=place.image,
        reference=reference,
        outcome="imported" if restored else outcome,
        verified=readable,
        restored=restored,
    )


async def _read_back(client: OciClient, image: UnresolvedReference, target: ImageReference) -> ResolvedImage:
    source = image.reference
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
    return replace(found, reference=source, target=image.target)


def _check_size(image: ResolvedImage) -> None:
    if (listed := len(image.contents)) > _MOST_MANIFESTS:
        raise ConfigurationError(
            "import the image",
            str(image.reference),
            f"Its index lists {listed} manifests; Azure Container Registry imports at most {_MOST_MANIFESTS} at once.",
            "In the catalogue, add the digest of the platform's manifest to the source (…:tag@sha256:…).",
        )


def unique_tag(tag: str, digest: str) -> str:
    """The second tag of an image whose own tag was taken, by a digest that could not be read."""
    return f"{tag}-{digest.removeprefix('sha256:')[:12]}"


def tag_taken(place: Place, current: str) -> Conflict:
    """The error when a tag in ``live/`` names another digest than the released one."""
    return Conflict(
        "promote the image",
        str(place.reference),
        f"The tag already refers to {current}, not to {place.image.digest}: upstream has moved it since it was "
        "released, or somebody has moved it in live/.",
        "A released tag is never moved. Use a new tag upstream, or remove the old one from live/ if nothing runs it.",
    )


def _path(reference: ImageReference) -> str:
    return f"{reference.repository}:{reference.tag}"

"""Whether an image is complete in a registry: its tag, and every manifest below its digest.

A tag's digest says nothing about what is below it: ``acr purge --untagged`` and retention have removed manifests below
tagged indexes, and nodes cannot pull what is missing. Missing manifests are imported again by their digest, without a
tag, so that no tag moves::

    (look,) = await look_at(client, [Place(reference, image)])
    await restore(session, registry, reference.repository, look.missing, source_of)

Facts: Azure/acr-cli issues 131 and 342; importImage REST API, ``untaggedTargetRepositories``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pratique.azure.registries import Internal, Registry, Upstream, import_image
from pratique.azure.session import AzureSession
from pratique.errors import NetworkDenied, NotFound
from pratique.images import ImageReference, ResolvedImage
from pratique.oci.client import OciClient

_LOOKUPS_AT_ONCE = 16
_IMPORTS_AT_ONCE = 8


class NotReadable:
    """This worker cannot reach the data plane, so it does not know whether the image is there."""


NOT_READABLE = NotReadable()


@dataclass(frozen=True)
class Place:
    """An image, and where it should be.

    :ivar reference: with its tag; a digest does not matter
    """

    reference: ImageReference
    image: ResolvedImage


@dataclass(frozen=True)
class Found:
    """What a registry has at a place.

    :ivar digest: of the tag; ``None`` when there is no such tag, :data:`NOT_READABLE` when out of reach
    :ivar missing: manifests below the image's digest that the repository does not have; empty unless the tag names
        that digest
    """

    place: Place
    digest: str | NotReadable | None
    missing: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return self.digest == self.place.image.digest and not self.missing

    @property
    def description(self) -> str:
        """What is there, in words."""
        if isinstance(self.digest, NotReadable):
            return "out of reach"
        return f"{self.digest or 'absent'}" + (f" without {', '.join(self.missing)} below it" if self.missing else "")


def manifests_below(image: ResolvedImage) -> tuple[str, ...]:
    """Digests of the manifests that an image needs besides its own, runnable or not."""
    digests = dict.fromkeys([*image.contents, *(manifest.digest for manifest in image.platforms)])
    return tuple(digest for digest in digests if digest != image.digest)


async def digest_at(client: OciClient, reference: ImageReference) -> str | NotReadable | None:
    """The current digest at a reference; ``None`` when there is none, :data:`NOT_READABLE` when out of reach."""
    try:
        return await client.head(reference)
    except NetworkDenied:
        return NOT_READABLE


async def look_at(client: OciClient, places: Iterable[Place]) -> list[Found]:
    """Look at each image's tag and at every manifest below its digest: one HEAD request for each.

    :raises PratiqueError: when the registry can be reached, and does not answer
    """
    limit = asyncio.Semaphore(_LOOKUPS_AT_ONCE)

    async def digest(reference: ImageReference) -> str | NotReadable | None:
        async with limit:
            return await digest_at(client, reference)

    async def look(place: Place) -> Found:
        tag = ImageReference(place.reference.registry, place.reference.repository, place.reference.tag)
        current = await digest(tag)
        if current != place.image.digest:
            return Found(place, current)
        below = manifests_below(place.image)
        found = await asyncio.gather(*(digest(tag.at(wanted)) for wanted in below))
        missing = tuple(wanted for wanted, there in zip(below, found, strict=True) if there != wanted)
        return Found(place, current, missing)

    return list(await asyncio.gather(*map(look, places)))


async def restore(
    session: AzureSession,
    registry: Registry,
    repository: str,
    digests: Sequence[str],
    source: Callable[[str], Internal | Upstream],
) -> None:
    """Import manifests by digest, without a tag.

    :param registry: that lacks the manifests
    :param source: where to get a digest from
    :raises NotFound: when the source lacks one as well
    """
    limit = asyncio.Semaphore(_IMPORTS_AT_ONCE)

    async def bring(digest: str) -> None:
        async with limit:
            try:
                await import_image(
                    session, registry, source=source(digest), targets=(), untagged_repositories=[repository]
                )
            except NotFound as error:
                raise NotFound(
                    "restore a manifest that was deleted",
                    f"{registry.login_server}/{repository}@{digest}",
                    f"The source does not have it either: {error.observed}",
                    "Start a new run, which imports the image from upstream again. Keep purges and retention away "
                    "from manifests below an index.",
                ) from None

    await asyncio.gather(*map(bring, digests))

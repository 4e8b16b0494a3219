"""Locks tags and manifests of an Azure registry against changes and deletion, and lifts the locks.

A tag and the manifest that it names are locked apart. A locked tag can be neither moved by a push nor deleted; a locked
manifest cannot be deleted, neither by its digest nor through a tag, nor with its repository. A manifest stays writable:
its bytes follow from its digest, and signatures and findings still have to be attached to it.

A lock is no right, and stops no administrator: a forced import (importImage) has been seen to move a locked tag and to
leave its lock in place, so a tag's digest has to be compared as well.

Facts: azure-containerregistry 1.2 (``/acr/v1``, api-version 2021-07-01); Microsoft Learn, "Lock a container image in an
Azure container registry"; Azure/acr#561 and #592. UNVERIFIED: what an import does to a locked tag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pratique.images import ImageReference
from pratique.oci import acr
from pratique.oci.acr import Flags, StoredManifest, StoredTag
from pratique.oci.client import OciClient

_AT_ONCE = 8
_ANYTHING: Mapping[str, bool] = {"writeEnabled": True, "deleteEnabled": True}


@dataclass(frozen=True, order=True)
class Part:
    """A tag or a manifest of a repository: what has a lock of its own.

    :ivar name: a tag, or a digest
    """

    repository: str
    name: str

    @property
    def is_tag(self) -> bool:
        return ":" not in self.name

    def reference(self, registry: str) -> ImageReference:
        """Its place in a registry, by the tag alone or by the digest alone."""
        tag, digest = (self.name, None) if self.is_tag else (None, self.name)
        return ImageReference(registry, self.repository, tag, digest)

    def __str__(self) -> str:
        return f"{self.repository}{':' if self.is_tag else '@'}{self.name}"


@dataclass(frozen=True)
class Content:
    """The tags and manifests of a repository, each with its flags.

    :ivar flags: of the repository itself: without ``write`` nothing can be pushed or imported into it
    """

    repository: str
    tags: Mapping[str, StoredTag]
    manifests: Mapping[str, StoredManifest]
    flags: Flags = field(default_factory=Flags)

    def has(self, part: Part) -> bool:
        """Whether the tag or manifest is there."""
        return part.name in (self.tags if part.is_tag else self.manifests)

    def is_locked(self, part: Part) -> bool:
        """Whether the tag cannot be moved, or the manifest cannot be deleted; false for what is not there."""
        if part.is_tag:
            tag = self.tags.get(part.name)
            return tag is not None and not tag.flags.write
        manifest = self.manifests.get(part.name)
        return manifest is not None and not (manifest.flags.delete and manifest.flags.write)

    def below(self, digest: str) -> frozenset[str]:
        """Digests of the manifests that are there and that an index refers to, at any depth, as the registry lists."""
        found: set[str] = set()
        left = [digest]
        while left:
            manifest = self.manifests.get(left.pop())
            new = {child for child in manifest.children if child in self.manifests} - found if manifest else set()
            found |= new
            left += new
        return frozenset(found - {digest})


async def read_content(client: OciClient, registry: str, repository: str) -> Content:
    """Read what is in a repository, and what is locked.

    :param registry: login server
    :raises NotFound: when the repository is empty or does not exist
    """
    tags, manifests, flags = await asyncio.gather(
        acr.tags(client, registry, repository),
        acr.manifests(client, registry, repository),
        acr.repository_flags(client, registry, repository),
    )
    return Content(repository, {tag.name: tag for tag in tags}, {each.digest: each for each in manifests}, flags)


async def lock(client: OciClient, registry: str, part: Part) -> None:
    """Lock a tag or a manifest. Whether the registry keeps the lock is another question: read it back.

    :raises PermissionDenied: when this identity may not change attributes
    :raises NotFound: when it is not there
    """
    changes = {"deleteEnabled": False} | ({"writeEnabled": False} if part.is_tag else {})
    await acr.attributes(client, part.reference(registry), changes=changes)


async def unlock(client: OciClient, registry: str, part: Part) -> None:
    """Lift what :func:`lock` has set, and nothing else; raises as that."""
    changes = {"deleteEnabled": True} | ({"writeEnabled": True} if part.is_tag else {})
    await acr.attributes(client, part.reference(registry), changes=changes)


async def unlock_everything(client: OciClient, registry: str, repository: str) -> list[Part]:
    """Lift every lock of the tags and manifests of a repository, whoever has set it. The repository's own stays.

    :return: what was locked
    :raises PermissionDenied: when this identity may not change attributes
    """
    content, limit = await read_content(client, registry, repository), asyncio.Semaphore(_AT_ONCE)

    async def lift(part: Part) -> None:
        async with limit:
            await acr.attributes(client, part.reference(registry), changes=_ANYTHING)

    flags = {**_flags(content.tags.values()), **_flags(content.manifests.values())}
    locked = [Part(repository, name) for name, each in flags.items() if not (each.write and each.delete)]
    await asyncio.gather(*map(lift, locked))
    return locked


def _flags(things: Collection[StoredTag] | Collection[StoredManifest]) -> dict[str, Flags]:
    return {(thing.name if isinstance(thing, StoredTag) else thing.digest): thing.flags for thing in things}

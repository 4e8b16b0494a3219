"""Azure's registry API beyond OCI distribution: repositories, manifests, arrival times and locks.

These reads do not count as pulls, so they do not make an unused image look used.

Facts: azure-containerregistry 1.2 (``/acr/v1``, api-version 2021-07-01); Microsoft Learn, "Lock a container image in an
Azure container registry".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pratique.errors import NotFound, UnreadableAnswer
from pratique.images import DIGEST_PATTERN, TAG_PATTERN, UNKNOWN_PLATFORM, ImageReference, PlatformManifest
from pratique.oci.client import OciClient
from pratique.oci.media_types import IMAGE_CONFIGS, INDEXES
from pratique.oci.transport import base_url
from pratique.platforms import Platform

PAGE = 100
MOST_PAGES = 10_000


@dataclass(frozen=True)
class Flags:
    """What may be done with a repository, a tag or a manifest. What the registry does not say is allowed.

    :ivar delete: whether it may be deleted; that takes ``write`` as well (Azure/acr#561)
    :ivar write: whether it may be changed: a tag moved, anything pushed into a repository
    :ivar read: whether it may be pulled
    """

    delete: bool = True
    write: bool = True
    read: bool = True

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Flags:
        """From an entry of a list, or the response about one thing; the flags are in it, or in a part of it."""
        return cls(*(_flag(entry, name) for name in ("deleteEnabled", "writeEnabled", "readEnabled")))


@dataclass(frozen=True)
class StoredTag:
    """One tag of a repository, as the registry lists it."""

    name: str
    digest: str
    flags: Flags = Flags()


@dataclass(frozen=True, kw_only=True)
class StoredManifest:
    """One manifest of a repository, as the registry lists it.

    :ivar created: when it arrived in the repository
    :ivar is_index: whether it is an image index; the list does not say all about its entries that a runtime reads
    :ivar platforms: the image itself; empty for an artifact and for an index
    :ivar children: digests of the manifests of an index
    """

    digest: str
    tags: tuple[str, ...]
    created: datetime
    is_index: bool
    platforms: tuple[PlatformManifest, ...]
    children: tuple[str, ...]
    flags: Flags = Flags()

    @property
    def readable(self) -> bool:
        """Whether it can be pulled."""
        return self.flags.read


async def arrival(client: OciClient, reference: ImageReference) -> datetime:
    """When a digest arrived in its repository.

    A digest that was deleted and pushed again has the time of the last push. Moving a tag does not change the time.

    :param reference: with the digest
    :raises NotFound: when it is not there
    :raises UnreadableAnswer: when the registry gives no valid time
    """
    return _created(await attributes(client, reference), str(reference))


async def attributes(
    client: OciClient, reference: ImageReference, *, changes: Mapping[str, bool] | None = None
) -> Mapping[str, Any]:
    """The registry's attributes of a digest or a tag, such as its times and locks. Tag and manifest have their own.

    :param reference: with the digest, or with a tag alone
    :param changes: flags to set first, such as ``readEnabled``; others stay as they are
    :raises UnreadableAnswer: when the response contains no such thing
    """
    kind, name = ("manifest", reference.digest) if reference.digest else ("tag", reference.tag)
    url = f"{base_url(reference.registry)}/acr/v1/{reference.repository}/_{kind}s/{name}"
    action = "metadata_read" if changes is None else "metadata_write"
    attempted = "read the attributes" if changes is None else "change the attributes"
    scope = f"repository:{reference.repository}:{action}"
    document, _ = await client.acr(attempted, str(reference), url, scope, changes=changes)
    found = document.get(kind)
    if not isinstance(found, dict):
        raise _unreadable(attempted, str(reference), f"The response contains no {kind}.")
    return found


async def readable(client: OciClient, reference: ImageReference) -> bool:
    """Whether a digest can be pulled: false when its ``readEnabled`` is false."""
    return _flag(await attributes(client, reference), "readEnabled")


async def repositories(client: OciClient, registry: str, prefix: str) -> list[str]:
    """Names of the registry's repositories that start with the prefix, sorted.

    :raises NetworkDenied: when this worker cannot reach the registry
    """
    url = f"{base_url(registry)}/acr/v1/_catalog?n={PAGE}"
    found: list[str] = []
    async for page in _pages(client, "list the repositories", registry, url, "registry:catalog:*", "repositories"):
        names = page["repositories"]
        if not all(isinstance(name, str) for name in names):
            raise _unreadable("list the repositories", registry, "The response is not a list of names.")
        found += [name for name in names if name.startswith(prefix)]
    return sorted(found)


async def manifests(client: OciClient, registry: str, repository: str) -> list[StoredManifest]:
    """Every manifest of a repository, tagged or not.

    :raises UnreadableAnswer: when the registry lists something other than manifests
    """
    attempted, subject = "list the manifests", f"{registry}/{repository}"
    url = f"{base_url(registry)}/acr/v1/{repository}/_manifests?n={PAGE}"
    found: list[StoredManifest] = []
    async for page in _pages(client, attempted, subject, url, f"repository:{repository}:metadata_read", "manifests"):
        try:
            found += [_stored(entry, subject) for entry in page["manifests"]]
        except (AttributeError, KeyError, TypeError):
            raise _unreadable(attempted, subject, "The response lists something other than manifests.") from None
    return found


async def tags(client: OciClient, registry: str, repository: str) -> list[StoredTag]:
    """Every tag of a repository.

    :raises UnreadableAnswer: when the registry lists something other than tags
    """
    attempted, subject = "list the tags", f"{registry}/{repository}"
    url = f"{base_url(registry)}/acr/v1/{repository}/_tags?n={PAGE}"
    found: list[StoredTag] = []
    async for page in _pages(client, attempted, subject, url, f"repository:{repository}:metadata_read", "tags"):
        try:
            found += [
                StoredTag(_tag_name(entry, subject), _digest(entry, subject), Flags.of(entry)) for entry in page["tags"]
            ]
        except (AttributeError, KeyError, TypeError):
            raise _unreadable(attempted, subject, "The response lists something other than tags.") from None
    return found


async def repository_flags(client: OciClient, registry: str, repository: str) -> Flags:
    """What may be done with a repository as a whole; its tags and manifests have flags of their own."""
    subject, scope = f"{registry}/{repository}", f"repository:{repository}:metadata_read"
    url = f"{base_url(registry)}/acr/v1/{repository}"
    document, _ = await client.acr("read the attributes", subject, url, scope)
    return Flags.of(document)


async def _pages(
    client: OciClient, attempted: str, subject: str, url: str, scope: str, key: str
) -> AsyncIterator[dict[str, Any]]:
    """The pages of a list; each has one under the key.

    :raises UnreadableAnswer: when a page has no list, or is missing; ``null`` is empty only in place of the whole list
    """
    next_url: str | None = url
    for _ in range(MOST_PAGES):
        if next_url is None:
            return
        first = next_url == url
        try:
            page, next_url = await client.acr(attempted, subject, next_url, scope)
        except NotFound:
            if first:
                raise
            raise _unreadable(attempted, subject, "A page in the middle of the list is missing.") from None
        listed = [] if first and next_url is None and page.get(key, "") is None else page.get(key)
        if not isinstance(listed, list):
            raise _unreadable(attempted, subject, f"A page of the list has no {key!r}.")
        yield {**page, key: listed}
    raise _unreadable(attempted, subject, f"The list has more than {MOST_PAGES} pages.")


def _stored(entry: Mapping[str, Any], subject: str) -> StoredManifest:
    digest, references = _digest(entry, subject), entry.get("references") or []
    is_index = entry.get("mediaType") in INDEXES
    return StoredManifest(
        digest=digest,
        tags=tuple(sorted(map(str, entry.get("tags") or ()))),
        created=_created(entry, subject),
        is_index=is_index,
        platforms=() if is_index else _single_platform(entry, digest),
        children=tuple(_digest(child, subject) for child in references),
        flags=Flags.of(entry),
    )


def _digest(entry: Mapping[str, Any], subject: str) -> str:
    """The digest of an entry. Anything else could make a later request's URL lead elsewhere."""
    digest = entry["digest"]
    if not isinstance(digest, str) or not re.fullmatch(DIGEST_PATTERN, digest):
        raise _unreadable("list the manifests", subject, f"It lists {digest!r:.80} instead of a SHA-256 digest.")
    return digest


def _tag_name(entry: Mapping[str, Any], subject: str) -> str:
    """The name of an entry; see :func:`_digest`."""
    name = entry["name"]
    if not isinstance(name, str) or not re.fullmatch(TAG_PATTERN, name):
        raise _unreadable("list the tags", subject, f"It lists {name!r:.80} instead of a tag.")
    return name


def _single_platform(entry: Mapping[str, Any], digest: str) -> tuple[PlatformManifest, ...]:
    """The manifest itself, unless it is an artifact. An image that does not name its platform counts too."""
    config = entry.get("configMediaType")
    platform = Platform.of(str(entry.get("os") or ""), str(entry.get("architecture") or ""))
    named = bool(platform.os) and platform.runnable
    if config not in IMAGE_CONFIGS and (config is not None or not named):
        return ()
    return (PlatformManifest(str(platform) if named else UNKNOWN_PLATFORM, digest),)


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    flags = entry.get("changeableAttributes")
    places = (entry, flags) if isinstance(flags, dict) else (entry,)
    return all(place.get(name) is not False for place in places)


def _created(entry: Mapping[str, Any], subject: str) -> datetime:
    created = entry.get("createdTime")
    try:
        time = datetime.fromisoformat(str(created))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _unreadable("read when the image arrived", subject, f"Its createdTime is {created!r:.80}.") from None


def _unreadable(attempted: str, subject: str, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer(attempted, subject, observed, "Run again; if it persists, report this.")

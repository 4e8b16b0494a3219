"""What Azure's registries tell beyond the OCI distribution API: what they hold, since when, and what is locked.

Reading this is no pull: an image that nobody uses stays one that nobody uses.

Facts: azure-containerregistry 1.2 (``/acr/v1``, api-version 2021-07-01); Microsoft Learn, "Lock a container image in an
Azure container registry".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pratique.errors import NetworkDenied, NotFound, UnreadableAnswer
from pratique.images import ImageReference, PlatformManifest
from pratique.oci.client import OciClient
from pratique.oci.media_types import IMAGE_CONFIGS, INDEXES, platform_name
from pratique.oci.transport import base_url

PAGE = 100
MOST_PAGES = 10_000


@dataclass(frozen=True)
class StoredManifest:
    """One manifest of a repository, by the registry's own account.

    :ivar created: when it came there
    :ivar platforms: the runnable images that it stands for; empty for an artifact
    :ivar complete: whether ``platforms`` and ``children`` are known: not for an index that is listed without them
    :ivar children: digests of the manifests below an index
    :ivar readable: whether it may be pulled
    """

    digest: str
    tags: tuple[str, ...]
    created: datetime
    platforms: tuple[PlatformManifest, ...]
    complete: bool
    children: tuple[str, ...]
    readable: bool


async def arrival(client: OciClient, reference: ImageReference) -> datetime | None:
    """When a digest came into its repository; ``None`` when it is not there, or the registry cannot be seen.

    A digest that was deleted and pushed again arrived when it was pushed again; a tag that is set anew changes nothing.

    :param reference: with the digest
    :raises UnreadableAnswer: when the registry does not tell
    """
    try:
        return _created(await attributes(client, reference), str(reference))
    except (NetworkDenied, NotFound):
        return None


async def attributes(
    client: OciClient, reference: ImageReference, *, changes: Mapping[str, bool] | None = None
) -> Mapping[str, Any]:
    """What the registry knows of a digest, such as its times and locks.

    :param reference: with the digest
    :param changes: flags to set first, such as ``readEnabled``
    :raises UnreadableAnswer: when the answer is about no manifest
    """
    url = f"{base_url(reference.registry)}/acr/v1/{reference.repository}/_manifests/{reference.digest}"
    right = "metadata_read" if changes is None else "metadata_write"
    attempted = "read the attributes" if changes is None else "change the attributes"
    scope = f"repository:{reference.repository}:{right}"
    answer, _ = await client.acr(attempted, str(reference), url, scope, changes=changes)
    manifest = answer.get("manifest")
    if not isinstance(manifest, dict):
        raise _unreadable(attempted, str(reference), "The answer holds no manifest.")
    return manifest


async def readable(client: OciClient, reference: ImageReference) -> bool:
    """Whether a digest may be pulled: not when its ``readEnabled`` is false."""
    return _flag(await attributes(client, reference), "readEnabled")


async def repositories(client: OciClient, registry: str, prefix: str) -> list[str]:
    """Names of the registry's repositories that begin like this, sorted.

    :raises NetworkDenied: when this worker cannot see the registry
    """
    url = f"{base_url(registry)}/acr/v1/_catalog?n={PAGE}"
    found: list[str] = []
    async for page in _pages(client, "list the repositories", registry, url, "registry:catalog:*"):
        names = page.get("repositories") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _unreadable("list the repositories", registry, "It is no list of names.")
        found += [name for name in names if name.startswith(prefix)]
    return sorted(found)


async def manifests(client: OciClient, registry: str, repository: str) -> list[StoredManifest]:
    """Every manifest of a repository, tagged or not.

    :raises UnreadableAnswer: when the registry lists what is no manifest
    """
    attempted, subject = "list the manifests", f"{registry}/{repository}"
    url = f"{base_url(registry)}/acr/v1/{repository}/_manifests?n={PAGE}"
    found: list[StoredManifest] = []
    async for page in _pages(client, attempted, subject, url, f"repository:{repository}:metadata_read"):
        try:
            found += [_stored(entry, subject) for entry in page.get("manifests") or []]
        except (AttributeError, KeyError, TypeError):
            raise _unreadable(attempted, subject, "It lists what is no manifest.") from None
    return found


async def _pages(
    client: OciClient, attempted: str, subject: str, url: str, scope: str
) -> AsyncIterator[dict[str, Any]]:
    following: str | None = url
    for _ in range(MOST_PAGES):
        if following is None:
            return
        page, following = await client.acr(attempted, subject, following, scope)
        yield page
    raise _unreadable(attempted, subject, f"It fills more than {MOST_PAGES} pages.")


def _stored(entry: Mapping[str, Any], subject: str) -> StoredManifest:
    digest, references = str(entry["digest"]), entry.get("references") or []
    is_index = entry.get("mediaType") in INDEXES
    return StoredManifest(
        digest,
        tuple(sorted(map(str, entry.get("tags") or ()))),
        _created(entry, subject),
        tuple(_runnable(references)) if is_index else _own(entry, digest),
        bool(references) or not is_index,
        tuple(str(one["digest"]) for one in references),
        _flag(entry, "readEnabled"),
    )


def _runnable(references: list[Mapping[str, Any]]) -> list[PlatformManifest]:
    named = ((platform_name(one), str(one["digest"])) for one in references)
    return [PlatformManifest(platform, digest) for platform, digest in named if platform]


def _own(entry: Mapping[str, Any], digest: str) -> tuple[PlatformManifest, ...]:
    """The manifest itself, unless it is an artifact; an image that does not name its platform is one all the same."""
    config = entry.get("configMediaType")
    platform = platform_name(entry)
    if (config is not None and config not in IMAGE_CONFIGS) or (config is None and platform is None):
        return ()
    return (PlatformManifest(platform or "unknown/unknown", digest),)


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    flags = entry.get("changeableAttributes")
    return not isinstance(flags, dict) or flags.get(name) is not False


def _created(entry: Mapping[str, Any], subject: str) -> datetime:
    created = entry.get("createdTime")
    try:
        moment = datetime.fromisoformat(str(created))
    except ValueError:
        raise _unreadable("tell when the image arrived", subject, f"Its createdTime is {created!r:.80}.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _unreadable(attempted: str, subject: str, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer(attempted, subject, observed, "Run again; if it persists, report this.")

"""A repository in a registry: its manifests, tags, blobs and referrers, and their locks.

Locks are ACR's *changeable attributes*; other registries do not set them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sandbox.services.oci.errors import Locked
from sandbox.services.oci.manifests import Manifest


@dataclass(frozen=True)
class Attributes:
    """What may be done with a repository, manifest or tag; ``writeEnabled: false`` also forbids deletion."""

    delete_enabled: bool = True
    write_enabled: bool = True
    list_enabled: bool = True
    read_enabled: bool = True

    @property
    def deletable(self) -> bool:
        return self.delete_enabled and self.write_enabled


@dataclass(kw_only=True)
class Tag:
    """A name for a manifest, with the times of its creation and of its last move."""

    name: str
    digest: str
    created: datetime
    updated: datetime
    attributes: Attributes = Attributes()


@dataclass
class StoredManifest:
    """A manifest in a repository."""

    manifest: Manifest
    created: datetime
    updated: datetime
    attributes: Attributes = Attributes()


@dataclass(kw_only=True)
class Repository:
    """Everything under one repository name.

    :ivar manifests: by digest
    :ivar tags: by name
    :ivar blobs: digests
    :ivar referrers: digests of referrers by digest of their subject, oldest first
    :ivar stored: when each manifest and blob came, in seconds of Azure's time, by digest
    """

    name: str
    created: datetime
    updated: datetime
    attributes: Attributes = Attributes()
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    blobs: set[str] = field(default_factory=set)
    referrers: dict[str, list[str]] = field(default_factory=dict)
    stored: dict[str, float] = field(default_factory=dict)

    def tags_of(self, digest: str) -> list[str]:
        """Names of the tags of a digest, sorted."""
        return sorted(tag.name for tag in self.tags.values() if tag.digest == digest)

    def add(self, manifest: Manifest, at: datetime) -> StoredManifest:
        """Store a manifest under its digest, unless it exists."""
        self.updated = at
        stored = self.manifests.get(manifest.digest)
        if stored is not None:
            return stored
        stored = self.manifests[manifest.digest] = StoredManifest(manifest, at, at)
        if manifest.subject is not None:
            self.referrers.setdefault(manifest.subject.digest, []).append(manifest.digest)
        return stored

    def remove(self, digest: str) -> StoredManifest:
        """Remove a manifest with its tags."""
        for name in self.tags_of(digest):
            del self.tags[name]
        stored = self.manifests.pop(digest)
        self.stored.pop(digest, None)
        if (subject := stored.manifest.subject) is not None:
            self.referrers[subject.digest].remove(digest)
        return stored

    def check_movable(self, tag_name: str, digest: str) -> None:
        """:raises Locked: when the tag exists, has another digest, and must not move"""
        tag = self.tags.get(tag_name)
        if tag is not None and tag.digest != digest and not tag.attributes.write_enabled:
            raise Locked({"name": self.name, "tag": tag_name})

    def move_tag(self, tag_name: str, digest: str, at: datetime) -> None:
        """Create a tag, or point it at another manifest."""
        tag = self.tags.get(tag_name)
        if tag is None:
            self.tags[tag_name] = Tag(name=tag_name, digest=digest, created=at, updated=at)
        else:
            tag.digest, tag.updated = digest, at


Lockable = Repository | StoredManifest | Tag

"""The content of one registry: its repositories, and the blobs that they share.

The blobs of all registries are in one pool, by digest, but a repository shows only those that were pushed, mounted or
imported into it (OCI distribution spec v1.1)::

    store = RegistryStore({}, clock.now)
    store.put_blob("library/busybox", content, digest)
    store.put_manifest("library/busybox", "1.37.0", manifest)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sandbox.services.oci.errors import (
    BlobUnknown,
    DigestInvalid,
    Locked,
    ManifestBlobUnknown,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    TagInvalid,
)
from sandbox.services.oci.manifests import Manifest, checked_digest, sha256
from sandbox.services.oci.repository import Lockable, Repository, StoredManifest, Tag

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LONGEST_NAME = 255


class RegistryStore:
    """One registry.

    :param pool: blob bytes by digest, shared by the registries of a sandbox
    :param now: the clock for creation and update times
    :param elapsed: seconds of Azure's time so far, by which replicas are late
    """

    def __init__(
        self, pool: MutableMapping[str, bytes], now: Callable[[], datetime], elapsed: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.pool = pool
        self.now = now
        self.elapsed = elapsed
        self._repositories: dict[str, Repository] = {}

    def repositories(self) -> list[str]:
        """Names of the repositories that hold a manifest, sorted."""
        return sorted(name for name, found in self._repositories.items() if found.manifests)

    def repository(self, name: str) -> Repository:
        """:raises NameUnknown: when nothing was ever stored under that name"""
        found = self._repositories.get(name)
        if found is None:
            raise NameUnknown({"name": name})
        return found

    def writable(self, name: str) -> Repository:
        """The repository for a write; created when it is new.

        :raises NameInvalid: when the name does not match the spec's grammar
        :raises Locked: when it does not allow writes
        """
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
            raise NameInvalid({"name": name})
        if name not in self._repositories:
            self._repositories[name] = Repository(name=name, created=self.now(), updated=self.now())
        found = self._repositories[name]
        if not found.attributes.write_enabled:
            raise Locked({"name": name})
        return found

    def delete_repository(self, name: str) -> Repository:
        """:raises Locked: when the repository, or anything in it, must not be deleted"""
        found = self.repository(name)
        targets: tuple[Lockable, ...] = (found, *found.manifests.values(), *found.tags.values())
        if not all(target.attributes.deletable for target in targets):
            raise Locked({"name": name})
        return self._repositories.pop(name)

    # Blobs

    def put_blob(self, repository: str, content: bytes, digest: str | None = None) -> str:
        """Store a blob and return its digest.

        :param digest: the digest that the client expects
        :raises DigestInvalid: when the content has another digest
        """
        actual = sha256(content)
        if digest is not None and checked_digest(digest) != actual:
            raise DigestInvalid({"expected": digest, "actual": actual})
        self._add_blob(self.writable(repository), actual)
        self.pool.setdefault(actual, content)
        return actual

    def blob(self, repository: str, digest: str) -> bytes:
        """:raises BlobUnknown: when the repository does not contain it"""
        if checked_digest(digest) not in self.repository(repository).blobs:
            raise BlobUnknown({"digest": digest})
        return self.pool[digest]

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Share a blob of `source` with `repository`; False when `source` does not contain it."""
        found = self._repositories.get(source)
        if found is None or checked_digest(digest) not in found.blobs:
            return False
        self._add_blob(self.writable(repository), digest)
        return True

    def delete_blob(self, repository: str, digest: str) -> None:
        self.blob(repository, digest)
        self.repository(repository).blobs.discard(digest)
        self.repository(repository).stored.pop(digest, None)

    # Manifests and tags

    def put_manifest(
        self, repository: str, reference: str, manifest: Manifest, *, past_lock: bool = False
    ) -> StoredManifest:
        """Store a manifest under its digest and, if `reference` is a tag, under the tag.

        :param past_lock: whether a tag is moved although it is locked; the repository's own lock counts anyway
        :raises ManifestBlobUnknown: when the repository lacks a blob or child manifest of it
        :raises DigestInvalid: when `reference` is a digest other than the content's
        :raises Locked: when the tag must not move
        """
        target, tag = self.writable(repository), None
        if ":" in reference:
            if checked_digest(reference) != manifest.digest:
                raise DigestInvalid({"expected": reference, "actual": manifest.digest})
        else:
            tag = _checked_tag(reference)
            if not past_lock:
                target.check_movable(tag, manifest.digest)
        missing = [blob.digest for blob in manifest.blobs if blob.digest not in target.blobs]
        missing += [child.digest for child in manifest.children if child.digest not in target.manifests]
        if missing:
            raise ManifestBlobUnknown({"digests": missing})
        stored = target.add(manifest, self.now())
        target.stored.setdefault(manifest.digest, self.elapsed())
        if tag is not None:
            target.move_tag(tag, manifest.digest, self.now())
        return stored

    def manifest(self, repository: str, reference: str) -> StoredManifest:
        """The manifest behind a tag or digest.

        :raises ManifestUnknown: when the repository has no such tag or manifest
        :raises Locked: when it must not be read
        """
        found = self.repository(repository)
        targets: list[Lockable] = [found]
        digest = reference
        if ":" not in reference:
            if reference not in found.tags:
                raise ManifestUnknown({"name": repository, "tag": reference})
            targets.append(found.tags[reference])
            digest = found.tags[reference].digest
        if checked_digest(digest) not in found.manifests:
            raise ManifestUnknown({"name": repository, "digest": digest})
        stored = found.manifests[digest]
        targets.append(stored)
        if not all(target.attributes.read_enabled for target in targets):
            raise Locked({"name": repository, "reference": reference})
        return stored

    def delete_manifest(self, repository: str, digest: str) -> StoredManifest:
        """Remove a manifest with its tags.

        :raises Locked: when the repository, the manifest or one of its tags must not be deleted
        """
        found = self.repository(repository)
        if checked_digest(digest) not in found.manifests:
            raise ManifestUnknown({"name": repository, "digest": digest})
        stored = found.manifests[digest]
        tags = [found.tags[name] for name in found.tags_of(digest)]
        targets: tuple[Lockable, ...] = (found, stored, *tags)
        if not all(target.attributes.deletable for target in targets):
            raise Locked({"name": repository, "digest": digest})
        found.remove(digest)
        if not found.manifests:
            del self._repositories[repository]
        return stored

    def purge_untagged(self, repository: str) -> list[str]:
        """Remove the manifests without a tag, except referrers and locked ones, and return their digests.

        Like ``acr purge --untagged`` in versions that did not look at indexes, it removes what is below a tagged index.
        """
        found = self.repository(repository)
        tagged = {tag.digest for tag in found.tags.values()}
        purged = [
            digest
            for digest, stored in found.manifests.items()
            if digest not in tagged and stored.manifest.subject is None and stored.attributes.deletable
        ]
        for digest in purged:
            self.delete_manifest(repository, digest)
        return purged

    def delete_tag(self, repository: str, name: str) -> Tag:
        """:raises Locked: when the repository or the tag must not be deleted"""
        found = self.repository(repository)
        if name not in found.tags:
            raise ManifestUnknown({"name": repository, "tag": name})
        if not (found.attributes.deletable and found.tags[name].attributes.deletable):
            raise Locked({"name": repository, "tag": name})
        return found.tags.pop(name)

    def tags(self, repository: str) -> list[str]:
        """The tags that lists show, in lexical order."""
        return sorted(tag.name for tag in self.repository(repository).tags.values() if tag.attributes.list_enabled)

    def referrers(self, repository: str, digest: str, artifact_type: str | None = None) -> list[dict[str, Any]]:
        """Descriptors of the manifests with the subject `digest`, oldest first; empty without any.

        :param artifact_type: only those of this type
        """
        found = self._repositories.get(repository)
        if found is None:
            return []
        of_subject = found.referrers.get(checked_digest(digest), [])
        descriptors = [found.manifests[referrer].manifest.as_referrer() for referrer in of_subject]
        return [d for d in descriptors if artifact_type is None or d.get("artifactType") == artifact_type]

    def closure(self, repository: str, digest: str) -> list[Manifest]:
        """The distinct manifests reachable from a manifest, children before parents; referrers are not included."""
        seen: dict[str, Manifest] = {}
        for manifest in self._walk(repository, digest):
            seen.setdefault(manifest.digest, manifest)
        return list(seen.values())

    def set_attributes(self, target: Lockable, **changes: bool) -> None:
        """Lock or unlock; `changes` are fields of :class:`.Attributes`."""
        target.attributes = replace(target.attributes, **changes)
        target.updated = self.now()

    def platform(self, repository: str, manifest: Manifest) -> tuple[str | None, str | None]:
        """Operating system and architecture from an image's config; None if they are missing."""
        if manifest.is_index or manifest.blobs[0].digest not in self.repository(repository).blobs:
            return None, None
        try:
            config = json.loads(self.pool[manifest.blobs[0].digest])
            return config.get("os"), config.get("architecture")
        except (ValueError, AttributeError):
            return None, None

    def _add_blob(self, repository: Repository, digest: str) -> None:
        repository.blobs.add(digest)
        repository.stored.setdefault(digest, self.elapsed())

    def _walk(self, repository: str, digest: str) -> Iterator[Manifest]:
        manifest = self.manifest(repository, digest).manifest
        for child in manifest.children:
            yield from self._walk(repository, child.digest)
        yield manifest


def _checked_tag(name: str) -> str:
    if not _TAG.fullmatch(name):
        raise TagInvalid({"tag": name})
    return name

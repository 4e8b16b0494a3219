"""Manifests and descriptors of the OCI image spec v1.1; Docker's schema 2 documents are parsed the same way.

A manifest keeps its exact bytes: parsing never re-serialises, so the digest does not change::

    manifest = Manifest.parse(content, OCI_MANIFEST)
    manifest.digest          # "sha256:…" of exactly `content`
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sandbox.services.oci.errors import DigestInvalid, ManifestInvalid

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
IN_TOTO = "application/vnd.in-toto+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST})
MAX_MANIFEST_BYTES = 4 * 1024 * 1024

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Descriptor:
    """A pointer to content: media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """An image manifest or an image index.

    :param content: the exact bytes, over which the digest is computed
    :param media_type: one of :data:`MANIFEST_TYPES`
    """

    content: bytes
    media_type: str

    @classmethod
    def parse(cls, content: bytes, media_type: str) -> Manifest:
        """Check `content` against the image spec.

        :raises ManifestInvalid: when it is not a manifest of `media_type`
        """
        if media_type not in MANIFEST_TYPES:
            raise ManifestInvalid({"mediaType": media_type}, "manifest media type is not supported")
        if len(content) > MAX_MANIFEST_BYTES:
            raise ManifestInvalid({"size": len(content)}, "manifest is larger than 4 MiB")
        manifest = cls(content, media_type)
        try:
            body = manifest.body
        except ValueError as error:
            raise ManifestInvalid(str(error), "manifest is not JSON") from None
        if body.get("schemaVersion") != 2 or body.get("mediaType", media_type) != media_type:
            raise ManifestInvalid({"mediaType": body.get("mediaType")}, "schemaVersion or mediaType does not fit")
        try:
            _ = manifest.children, manifest.blobs, manifest.subject
        except (KeyError, TypeError, AttributeError):
            raise ManifestInvalid(None, "a required descriptor is missing or malformed") from None
        return manifest

    @cached_property
    def digest(self) -> str:
        return sha256(self.content)

    @cached_property
    def body(self) -> dict[str, Any]:
        value = json.loads(self.content)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @cached_property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests in an index; empty for an image manifest."""
        return tuple(_descriptor(entry) for entry in self.body["manifests"]) if self.is_index else ()

    @cached_property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config first, then layers; empty for an index."""
        if self.is_index:
            return ()
        return (_descriptor(self.body["config"]), *self.layers)

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        return () if self.is_index else tuple(_descriptor(entry) for entry in self.body["layers"])

    @cached_property
    def subject(self) -> Descriptor | None:
        """The manifest that this one refers to, for the referrers API."""
        return _descriptor(self.body["subject"]) if "subject" in self.body else None

    @property
    def artifact_type(self) -> str | None:
        """The artifact type in the referrers API: the manifest's own, or its config's media type."""
        own = self.body.get("artifactType")
        if own or self.is_index:
            return own
        return self.blobs[0].media_type

    def as_referrer(self) -> dict[str, Any]:
        """This manifest's descriptor in the referrers API."""
        descriptor = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        artifact_type, annotations = self.artifact_type, self.body.get("annotations")
        if artifact_type:
            descriptor["artifactType"] = artifact_type
        if annotations:
            descriptor["annotations"] = annotations
        return descriptor


def sha256(content: bytes) -> str:
    """The content's digest in the spec's format, ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def checked_digest(text: str) -> str:
    """Return `text` if it is a sha256 digest.

    :raises DigestInvalid: otherwise; other algorithms are not supported
    """
    if not DIGEST.fullmatch(text):
        raise DigestInvalid({"digest": text}, "invalid digest format")
    return text


def encoded(value: Mapping[str, object]) -> bytes:
    """The bytes of a manifest or config: insertion order, no spaces, as registries' own tools write them."""
    return json.dumps(value, separators=(",", ":")).encode()


def _descriptor(entry: Mapping[str, Any]) -> Descriptor:
    digest, size = entry["digest"], entry["size"]
    if not DIGEST.fullmatch(digest) or not isinstance(size, int) or size < 0:
        raise TypeError("malformed descriptor")
    return Descriptor(str(entry["mediaType"]), digest, size)

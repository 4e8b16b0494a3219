"""What Defender treats as an image: the platform manifests of anything that arrives in a registry.

Left out are indexes themselves ("manifest lists are not supported"), the attestations that BuildKit adds to an index
as if they were platforms, and artifacts that only refer to an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.services.oci.manifests import OCI_CONFIG, Manifest
from sandbox.services.oci.store import RegistryStore

_IMAGE_CONFIGS = frozenset({OCI_CONFIG, "application/vnd.docker.container.image.v1+json"})


@dataclass(frozen=True)
class ScannedImage:
    """One platform manifest in one repository: the same digest in two repositories is scanned twice.

    :ivar registry_id: ARM id of the registry
    :ivar registry_host: its login server
    """

    registry_id: str
    registry_host: str
    repository: str
    digest: str


def platform_manifests(store: RegistryStore, repository: str, digest: str) -> Iterator[Manifest]:
    """The distinct images behind a digest."""
    manifests = store.closure(repository, digest)
    attestations = {
        entry["digest"]
        for index in manifests
        if index.is_index
        for entry in index.body["manifests"]
        if _is_attestation(entry)
    }
    for manifest in manifests:
        if manifest.digest not in attestations and _is_image(manifest):
            yield manifest


def index_of(store: RegistryStore, repository: str, digest: str) -> str:
    """The digest of an index that lists a manifest; the manifest's own when there is none."""
    stored = [stored.manifest for stored in store.repository(repository).manifests.values()]
    lists = (m.digest for m in stored if m.is_index and digest in {entry["digest"] for entry in m.body["manifests"]})
    return next(lists, digest)


def _is_image(manifest: Manifest) -> bool:
    return not manifest.is_index and manifest.subject is None and manifest.blobs[0].media_type in _IMAGE_CONFIGS


def _is_attestation(entry: dict[str, Any]) -> bool:
    kind = (entry.get("annotations") or {}).get("vnd.docker.reference.type")
    return kind == "attestation-manifest" or (entry.get("platform") or {}).get("os") == "unknown"

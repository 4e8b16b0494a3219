"""Media types of manifests, and the platforms of an image index's entries.

Facts: OCI image-spec v1.1, "Image Index"; Docker image manifest v2 schema 2; BuildKit, "Attestation storage".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
_ATTESTATION = "vnd.docker.reference.type"


def platform_name(platform: Mapping[str, Any]) -> str | None:
    """``os/architecture[/variant]``, or ``None`` when the entry is not runnable."""
    system, architecture = platform.get("os"), platform.get("architecture")
    if not system or not architecture or "unknown" in (system, architecture):
        return None
    return "/".join(str(part) for part in (system, architecture, platform.get("variant")) if part)


def runnable(entry: Mapping[str, Any]) -> str | None:
    """The platform of an index entry, or ``None`` when the entry is not an image but an attestation or artifact."""
    if entry.get("mediaType") not in MANIFESTS or _ATTESTATION in (entry.get("annotations") or {}):
        return None
    return platform_name(entry.get("platform") or {})

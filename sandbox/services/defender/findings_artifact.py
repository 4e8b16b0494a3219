"""The findings artifact: an in-toto statement about a scan, attached to the image as an OCI referrer.

Shapes: gated deployment of Defender for Containers (artifact type and annotations), in-toto Statement v1, predicate
vulns v0.2. ``result: []`` means that the image was scanned without findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sandbox.scenario import Finding
from sandbox.services.defender.images import ScannedImage
from sandbox.services.oci.manifests import IN_TOTO, OCI_EMPTY, OCI_MANIFEST, Descriptor, Manifest, encoded
from sandbox.services.oci.store import RegistryStore

PREDICATE_TYPE = "https://in-toto.io/attestation/vulns/v0.2"


def statement(image: ScannedImage, findings: Sequence[Finding], *, started: datetime, finished: datetime) -> bytes:
    """The statement about an image's findings; empty ``findings`` mean that nothing was found."""
    predicate = {
        "scanner": {
            "uri": "https://www.microsoft.com/security/business/threat-protection/mdvm",
            "version": "1.0",
            "db": {"uri": "https://security.microsoft.com/vulnerabilities", "lastUpdate": _text(started)},
            "result": [_result(finding) for finding in findings],
        },
        "metadata": {"scanStartedOn": _text(started), "scanFinishedOn": _text(finished)},
    }
    name = f"{image.registry_host}/{image.repository}"
    return encoded(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": name, "digest": {"sha256": image.digest.removeprefix("sha256:")}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }
    )


def attach_statement(
    store: RegistryStore, repository: str, subject: Manifest, document: bytes, created: datetime
) -> Manifest:
    """Store a statement in the subject's repository, as a referrer of the subject."""
    annotations = {
        "in-toto.io/predicate-type": PREDICATE_TYPE,
        "report-type": "SoftwareInventoryAssessment",
        "scanner": "MDVM",
        "org.opencontainers.image.created": _text(created),
    }
    title = {"org.opencontainers.image.title": "/tmp/tmp1a2b3c4d.tmp"}  # noqa: S108  # as seen in real ones
    layer = put_blob(store, repository, IN_TOTO, document) | {"annotations": annotations | title}
    return put_referrer(
        store,
        repository,
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": IN_TOTO,
            "config": put_blob(store, repository, OCI_EMPTY, b"{}") | {"data": "e30="},
            "layers": [layer],
            "subject": descriptor(subject),
            "annotations": annotations,
        },
    )


def put_blob(store: RegistryStore, repository: str, media_type: str, content: bytes) -> dict[str, Any]:
    """Store a blob and return its descriptor."""
    digest = store.put_blob(repository, content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def put_referrer(store: RegistryStore, repository: str, body: dict[str, Any]) -> Manifest:
    """Store a manifest that has a subject."""
    manifest = Manifest.parse(encoded(body), OCI_MANIFEST)
    store.put_manifest(repository, manifest.digest, manifest)
    return manifest


def descriptor(manifest: Manifest) -> dict[str, Any]:
    """The descriptor of a manifest."""
    descriptor = Descriptor(manifest.media_type, manifest.digest, manifest.size)
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _result(finding: Finding) -> dict[str, Any]:
    annotation = {
        "packageName": finding.package,
        "packageType": "OS",
        "installedVersion": finding.version,
        "fixedVersion": finding.fixed_version,
    }
    return {
        "id": finding.cve,
        "severity": [{"method": "MDVM", "score": finding.severity}] if finding.severity else [],
        "annotations": [annotation],
    }


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")

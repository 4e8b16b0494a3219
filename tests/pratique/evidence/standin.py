"""Small programs in place of Trivy and Grype, and the reports that they print: in form what the real ones write.

``tests/oracles`` runs the real ones, and compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DIGEST_OF_LAYER = "sha256:" + "03" * 32
VERSION: dict[str, Any] = {
    "Version": "0.74.0",
    "VulnerabilityDB": {
        "Version": 2,
        "NextUpdate": "2026-11-23T06:00:00Z",
        "UpdatedAt": "2026-11-22T06:00:00Z",
        "DownloadedAt": "2026-11-22T07:00:00Z",
    },
}
_PROGRAM = """
import json, os, sys, time
arguments = sys.argv[1:]
with open({calls!r}, "a") as file:
    file.write(json.dumps(arguments) + "\\n")
if arguments[0] == "version":
    print({version!r})
    sys.exit()
if "--download-db-only" in arguments or arguments[:2] == ["db", "update"]:
    {update}
    sys.exit()
if "canary" in arguments[-1]:
    {check}
    print({canary!r})
    sys.exit()
"""


def stand_in(
    calls: Path, body: str, format: str, *, version: dict[str, Any], knows: bool, update: str, check: str
) -> str:
    """The text of a program that answers like a scanner.

    :param calls: file for the arguments of each run, a line a run
    :param body: what it does when it scans an image
    :param knows: whether its database knows the distribution
    :param update: a statement that it runs when it updates its database
    :param check: a statement that it runs before it reports on the canary
    """
    canary = trivy_sbom_report(knows) if format == "trivy" else grype_sbom_report(knows)
    return (
        _PROGRAM.format(
            calls=str(calls),
            version=json.dumps(version),
            canary=json.dumps(canary),
            update=update or "pass",
            check=check or "pass",
        )
        + body
    )


def trivy_report(image: str, *, found: bool = True) -> dict[str, Any]:
    """Trivy's report of an Alpine image with one package.

    :param found: whether it has a vulnerability
    """
    package = {
        "ID": "libssl3@3.3.2-r1",
        "Name": "libssl3",
        "Identifier": {"PURL": "pkg:apk/alpine/libssl3@3.3.2-r1?arch=x86_64&distro=3.22.1", "UID": "96883dde1f84bd5b"},
        "Version": "3.3.2-r1",
        "Arch": "x86_64",
        "SrcName": "openssl",
        "SrcVersion": "3.3.2-r1",
        "Layer": {"Digest": DIGEST_OF_LAYER, "DiffID": DIGEST_OF_LAYER},
        "AnalyzedBy": "apk",
    }
    vulnerability = {
        "VulnerabilityID": "CVE-2026-1001",
        "PkgID": "libssl3@3.3.2-r1",
        "PkgName": "libssl3",
        "InstalledVersion": "3.3.2-r1",
        "FixedVersion": "3.3.3-r0",
        "Status": "fixed",
        "Severity": "CRITICAL",
    }
    result = {"Target": f"{image} (alpine 3.22.1)", "Class": "os-pkgs", "Type": "alpine", "Packages": [package]}
    return {
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.74.0"},
        "CreatedAt": "2026-11-22T10:00:00Z",
        "ArtifactName": image,
        "ArtifactType": "container_image",
        "Metadata": {"OS": {"Family": "alpine", "Name": "3.22.1"}, "RepoDigests": [image]},
        "Results": [result | ({"Vulnerabilities": [vulnerability]} if found else {})],
    }


def trivy_sbom_report(knows: bool) -> dict[str, Any]:
    """Trivy's report of the canary."""
    result: dict[str, Any] = {"Target": "canary (alpine 3.22.1)", "Class": "os-pkgs", "Type": "alpine", "Packages": []}
    if knows:
        result["Vulnerabilities"] = [{"VulnerabilityID": "CVE-2026-1001", "PkgName": "openssl", "Severity": "HIGH"}]
    return {"SchemaVersion": 2, "ArtifactName": "canary", "ArtifactType": "cyclonedx", "Results": [result]}


def grype_report(image: str, *, found: bool = True) -> dict[str, Any]:
    """Grype's report of an Alpine image with one package.

    :param found: whether it has a vulnerability
    """
    return {
        "matches": [_match()] if found else [],
        "source": {"type": "image", "target": {"userInput": image, "repoDigests": [image], "tags": []}},
        "distro": {"name": "alpine", "version": "3.22.1", "idLike": []},
        "descriptor": _descriptor(),
    }


def grype_packages(image: str) -> dict[str, Any]:
    """The list of packages that Grype writes in the same run."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"component": {"type": "container", "name": image, "version": image.partition("@")[2]}},
        "components": [
            {
                "type": "library",
                "name": "zlib",
                "version": "1.3.1-r1",
                "purl": "pkg:apk/alpine/zlib@1.3.1-r1?arch=x86_64&distro=alpine-3.22.1",
            },
            {
                "bom-ref": "os:alpine@3.22.1",
                "type": "operating-system",
                "name": "alpine",
                "version": "3.22.1",
                "swid": {"tagId": "alpine", "name": "alpine", "version": "3.22.1"},
                "properties": [{"name": "syft:distro:id", "value": "alpine"}],
            },
        ],
    }


def grype_sbom_report(knows: bool) -> dict[str, Any]:
    """Grype's report of the canary."""
    source = {"type": "sbom-file", "target": "canary"}
    distro = {"name": "alpine", "version": "3.22.1", "idLike": []}
    return {"matches": [_match()] if knows else [], "source": source, "distro": distro, "descriptor": _descriptor()}


def _match() -> dict[str, Any]:
    return {
        "vulnerability": {
            "id": "CVE-2026-2001",
            "namespace": "alpine:distro:alpine:3.22",
            "severity": "Low",
            "fix": {"versions": [], "state": "wont-fix"},
        },
        "artifact": {"name": "zlib", "version": "1.3.1", "type": "apk"},
    }


def _descriptor() -> dict[str, Any]:
    return {
        "name": "grype",
        "version": "0.121.2",
        "configuration": {
            "distro": "",
            "exclude": None,
            "vex-documents": None,
            "search": {"scope": "squashed"},
            "alerts": {"enable-eol-distro-warnings": True},
        },
        "db": {"status": {"schemaVersion": "v6.1.9", "built": "2026-11-22T04:00:00Z", "valid": True}},
        "timestamp": "2026-11-22T10:00:00Z",
    }

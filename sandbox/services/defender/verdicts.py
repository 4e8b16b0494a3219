"""Decides what a scan finds: from the scenario, or from the advisories for the image's packages."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sandbox.scenario import Finding, Scan
from sandbox.services.defender.advisories import Advisory, matching
from sandbox.services.defender.reports import Status
from sandbox.services.oci.images import read_packages
from sandbox.services.oci.manifests import Manifest
from sandbox.services.oci.packages import Package


class Verdict(NamedTuple):
    """The result of a finished scan."""

    status: Status
    findings: tuple[Finding, ...]


def verdict(scan: Scan, known: Sequence[Advisory], blobs: Mapping[str, bytes], manifest: Manifest) -> Verdict | None:
    """The verdict on one image; ``None`` when it is not assessed.

    With advisories, an image without a package database is not assessed either: super-minimal images are not supported.

    :param known: the advisories, for images with the outcome ``from-advisories``
    :param blobs: content by digest
    """
    if scan.outcome == "never":
        return None
    if scan.outcome == "not-applicable":
        return Verdict("NotApplicable", scan.findings)
    findings = scan.findings
    if scan.outcome == "from-advisories" and known:
        if not (packages := _inventory(blobs, manifest)):
            return None
        findings = matching(known, packages)
    return Verdict("Unhealthy" if findings else "Healthy", findings)


def _inventory(blobs: Mapping[str, bytes], manifest: Manifest) -> list[Package]:
    """The packages; none when the layers cannot be read as declared."""
    try:
        return read_packages(blobs, manifest)
    except (tarfile.TarError, zlib.error, EOFError, OSError, KeyError):
        return []

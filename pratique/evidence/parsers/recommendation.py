"""Defender's individual recommendations (generation of 2026): one row of Resource Graph per software update.

Microsoft publishes no sample for container images; the paths come from its transition guide and its own queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.defender import HEALTHY, NOT_APPLICABLE, code_of, fix_of, latest, not_applicable, purl_of
from pratique.evidence.parsers.json_reader import Reader
from pratique.findings import Finding, Severity


def from_recommendation(row: Mapping[str, Any], *, source: str) -> Row:
    """Parse a row of ``securityresources`` about a software update in a container image.

    CVEs that it lists are findings whatever its status is: Defender's exemptions are not this gate's exceptions.

    :param row: with the columns ``id`` and ``properties``
    :raises UnreadableAnswer: when it does not say which image it is about, or is not in the known format
    """
    subject = Reader.of(row, "a row of Resource Graph", "row").text("id") or "a row without id"
    properties = Reader.of(row.get("properties"), subject, "properties")
    about = properties.document("resourceAdditionalData")
    repository = about.document("RepositoryDetails")
    status = properties.document("status")
    update = properties.document("additionalData")
    findings = tuple(_cve(entry, update, source) for entry in update.documents("CvesDetails"))
    if not findings and code_of(status) not in (HEALTHY, NOT_APPLICABLE):
        findings = (_update_without_cves(properties, update, source),)
    pushed = "LastPushedToRegistryUTC"
    return Row(
        digest=about.digest("Digest"),
        registry_host=about.required("RegistryHost").lower(),
        repository=repository.required("RepositoryName"),
        findings=findings,
        not_applicable=not_applicable(status),
        pushed=latest(about.timestamp(pushed), repository.timestamp(pushed)),
        at=status.timestamp("statusChangeDate") or status.timestamp("firstEvaluationDate"),
    )


def _cve(entry: Reader, update: Reader, source: str) -> Finding:
    return Finding(
        vulnerability=entry.required("CveId"),
        severity=Severity.parse(entry.get("Severity")),
        package=update.text("SoftwareName"),
        version=_versions(update),
        fixed_version=entry.text("FixedVersion") or update.text("FixedVersion"),
        fix=fix_of(entry, update),
        sources=(source,),
        purls=(_purl(update),),
    )


def _update_without_cves(properties: Reader, update: Reader, source: str) -> Finding:
    """A finding for a recommendation that names no vulnerability."""
    metadata = properties.document("metadata")
    return Finding(
        vulnerability=metadata.text("displayName") or "software update without a CVE",
        severity=Severity.parse(metadata.get("severity")),
        package=update.text("SoftwareName"),
        version=_versions(update),
        fixed_version=update.text("FixedVersion"),
        fix=fix_of(update),
        sources=(source,),
        purls=(_purl(update),),
    )


def _purl(update: Reader) -> str:
    return purl_of(update.text("SoftwareName"), update.text("PackageType"), update.text("Language"))


def _versions(update: Reader) -> str:
    """The versions from an array, from JSON text of an array, or from a single version."""
    key = "DetectedSoftwareVersions"
    if not isinstance(versions := update.get(key), str) or versions.startswith("["):
        return ", ".join(update.texts(key))
    return update.text(key)

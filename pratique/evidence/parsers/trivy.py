"""Trivy's JSON report of a container image, schema version 2 (aquasecurity/trivy, ``pkg/types/report.go``).

Only vulnerabilities are findings here, not secrets, licences or misconfigurations. Suppressed vulnerabilities, which
Trivy lists when it runs with ``--show-suppressed``, count: only this gate grants exceptions. An empty list of findings
means something only where Trivy recognised the distribution and lists packages of it.
"""

from __future__ import annotations

from datetime import datetime

from pratique.evidence.parsers.assessment import Assessment, Distribution, Unassessed
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity, end_of_life
from pratique.text import first_few

SCHEMA = 2
IMAGE = "container_image"
SBOM = "cyclonedx"
OS_PACKAGES = "os-pkgs"
#: What Trivy calls the operating system of an image with packages, but without a release file that it knows.
NO_SYSTEM = "none"
#: Trivy reads these packages, but never looks for vulnerabilities in them (``pkg/detector/ospkg``).
THIRD_PARTY = "third-party"
KEYS = "gpg-pubkey"

#: "Filtering" in Trivy's documentation, which describes the other statuses as not investigated.
_FIXES = {
    "fixed": Fix.AVAILABLE,
    "affected": Fix.NONE,
    "will_not_fix": Fix.NONE,
    "fix_deferred": Fix.NONE,
}
_OTHER_FINDINGS = frozenset({"misconfiguration", "secret", "license"})
_NAMED = 3


def from_trivy(
    document: bytes, *, digest: str, source: str, database_at: datetime | None = None
) -> Assessment | Unassessed:
    """Parse a report.

    :param digest: of the image that the report must be about
    :param database_at: when the database of a Trivy without a server was last updated, which the report does not say;
        ``None`` where a server has the database, because old clients leave the server out of the report
    :raises UnreadableAnswer: when it is about another image, or not in the known format
    """
    report = _report(document, digest, IMAGE)
    metadata = report.optional("Metadata")
    names = [report.text("ArtifactName"), *metadata.texts("RepoDigests")]
    if not any(name.endswith(f"@{digest}") for name in names):
        raise unreadable(digest, "Trivy's report is about another image.")
    system = metadata.optional("OS")
    results = report.documents("Results")
    findings = tuple(_finding(found, source) for result in results for found in _vulnerabilities(result))
    if system.get("EOSL") not in (None, False):
        findings += (end_of_life(system.text("Family"), system.text("Name"), source),)
    finished = report.required_timestamp("CreatedAt")
    of_system = [result for result in results if result.required("Class") == OS_PACKAGES]
    packages = [package for result in of_system for package in result.documents("Packages")]
    if reason := _gap(system.text("Family"), of_system, packages):
        return Unassessed(reason, findings)
    trivy = report.optional("Trivy")
    found_some = any(_vulnerabilities(result) for result in of_system)
    return Assessment(
        findings,
        finished,
        f"Trivy {trivy.text('Version')}".rstrip(),
        _server_database(trivy) if trivy.has("Server") else database_at,
        None if found_some else _distribution(system, packages),
    )


def database_of(version: bytes) -> datetime | None:
    """When the database was last updated, from ``trivy version --format json``; ``None`` when there is no database.

    :raises UnreadableAnswer: when it is not in the known format
    """
    return Reader.of(version, "trivy version", "version").optional("VulnerabilityDB").timestamp("UpdatedAt")


def knows_distribution(document: bytes) -> bool:
    """Whether the report of an SBOM (:func:`pratique.evidence.canary.canary`) names a vulnerability of its system.

    :raises UnreadableAnswer: when it is not a report of an SBOM
    """
    results = _report(document, "the canary", SBOM).documents("Results")
    return any(_vulnerabilities(result) for result in results if result.text("Class") == OS_PACKAGES)


def _report(document: bytes, subject: str, kind: str) -> Reader:
    report = Reader.of(document, subject, "report")
    if report.get("SchemaVersion") != SCHEMA:
        raise report.invalid("SchemaVersion", f"is not {SCHEMA}")
    if report.required("ArtifactType") != kind:
        raise report.invalid("ArtifactType", f"is not {kind!r}")
    return report


def _vulnerabilities(result: Reader) -> list[Reader]:
    suppressed = [
        entry.document("Finding")
        for entry in result.documents("ExperimentalModifiedFindings")
        if entry.text("Type").lower() not in _OTHER_FINDINGS
    ]
    return result.documents("Vulnerabilities") + suppressed


def _gap(family: str, of_system: list[Reader], packages: list[Reader]) -> str:
    """What Trivy did not assess. It lists a result for the system's packages whenever it supports that system."""
    if family in ("", NO_SYSTEM):
        return "Trivy recognised no distribution, so it did not look at the packages of one"
    if not of_system:
        return f"Trivy does not know the packages of {family}"
    if not any(package.text("Name") not in ("", KEYS) for package in packages):
        return f"Trivy found no package of {family}: the image has no package database, or one that it cannot read"
    if foreign := sorted({package.text("Name") for package in packages if _is_third_party(package)}):
        return f"Trivy does not assess packages of third-party repositories: {first_few(foreign, _NAMED)}"
    return ""


def _is_third_party(package: Reader) -> bool:
    return package.optional("Repository").text("Class").lower() == THIRD_PARTY


def _server_database(trivy: Reader) -> datetime | None:
    """When the database of a Trivy server, which did the matching, was last updated."""
    return trivy.document("Server").optional("VulnerabilityDB").timestamp("UpdatedAt")


def _distribution(system: Reader, packages: list[Reader]) -> Distribution:
    family, version = system.text("Family"), system.text("Name")
    purls = [package.optional("Identifier").text("PURL") for package in packages if package.text("Name") != KEYS]
    component = {"type": "operating-system", "name": family, "version": version}
    return Distribution(f"{family} {version}".rstrip(), component, next(filter(None, purls), ""))


def _finding(found: Reader, source: str) -> Finding:
    fix = _FIXES.get(found.text("Status").lower(), Fix.UNKNOWN)
    return Finding(
        vulnerability=found.required("VulnerabilityID"),
        severity=Severity.parse(found.get("Severity")),
        package=found.text("PkgName"),
        version=found.text("InstalledVersion"),
        fixed_version=found.text("FixedVersion"),
        fix=Fix.AVAILABLE if found.has("FixedVersion") else fix,
        sources=(source,),
        purls=(found.optional("PkgIdentifier").text("PURL"),),
    )

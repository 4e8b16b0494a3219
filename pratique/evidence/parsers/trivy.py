"""Trivy's JSON report of a container image, schema version 2 (aquasecurity/trivy, ``pkg/types/report.go``).

Only vulnerabilities are findings here, not secrets, licences or misconfigurations. Suppressed vulnerabilities, which
Trivy lists when it runs with ``--show-suppressed``, count: only this gate grants exceptions.
"""

from __future__ import annotations

from pratique.evidence.parsers.assessment import Assessment, Unassessed
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity

SCHEMA = 2
IMAGE = "container_image"
OS_PACKAGES = "os-pkgs"
PACKAGES = frozenset({OS_PACKAGES, "lang-pkgs"})

#: "Filtering" in Trivy's documentation, which describes the other statuses as not investigated.
_FIXES = {
    "fixed": Fix.AVAILABLE,
    "affected": Fix.NONE,
    "will_not_fix": Fix.NONE,
    "fix_deferred": Fix.NONE,
}
_OTHER_FINDINGS = frozenset({"misconfiguration", "secret", "license"})


def from_trivy(document: bytes, *, digest: str, source: str) -> Assessment | Unassessed:
    """Parse a report.

    :param digest: of the image that the report must be about
    :raises UnreadableAnswer: when it is about another image, or not in the known format
    """
    report = Reader.of(document, digest, "report")
    if report.get("SchemaVersion") != SCHEMA:
        raise report.invalid("SchemaVersion", f"is not {SCHEMA}")
    if report.required("ArtifactType") != IMAGE:
        raise report.invalid("ArtifactType", f"is not {IMAGE!r}")
    metadata = report.optional("Metadata")
    names = [report.text("ArtifactName"), *metadata.texts("RepoDigests")]
    if not any(name.endswith(f"@{digest}") for name in names):
        raise unreadable(digest, "Trivy's report is about another image.")
    system = metadata.optional("OS")
    results = report.documents("Results")
    findings = tuple(_finding(found, source) for result in results for found in _vulnerabilities(result))
    finished = report.required_timestamp("CreatedAt")
    if reason := _gap(system.text("Family"), {result.required("Class") for result in results}):
        return Unassessed(reason, findings)
    return Assessment(findings, finished, _scanner(report, system))


def _vulnerabilities(result: Reader) -> list[Reader]:
    suppressed = [
        entry.document("Finding")
        for entry in result.documents("ExperimentalModifiedFindings")
        if entry.text("Type").lower() not in _OTHER_FINDINGS
    ]
    return result.documents("Vulnerabilities") + suppressed


def _gap(family: str, classes: set[str]) -> str:
    """What Trivy did not assess. It lists a result for the system's packages whenever it supports that system."""
    if not classes & PACKAGES:
        return "Trivy recognised no packages that it could assess"
    return f"Trivy does not know the packages of {family}" if family and OS_PACKAGES not in classes else ""


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


def _scanner(report: Reader, system: Reader) -> str:
    """The scanner's name; it mentions an end-of-life system, for which Trivy calls its own results insufficient."""
    name = f"Trivy {report.optional('Trivy').text('Version')}".rstrip()
    ended = system.get("EOSL") is True
    return f"{name}, {system.text('Family')} {system.text('Name')} is past its end of life" if ended else name

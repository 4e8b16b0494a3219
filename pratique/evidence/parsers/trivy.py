"""Trivy's JSON report of a container image, schema version 2 (aquasecurity/trivy, ``pkg/types/report.go``).

Only vulnerabilities count; secrets, licences and misconfigurations are no findings here. What Trivy was told to ignore,
and lists when it runs with ``--show-suppressed``, counts: exceptions are this gate's.
"""

from __future__ import annotations

from pratique.evidence.parsers.assessment import Assessment, Unassessed
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity

SCHEMA = 2
IMAGE = "container_image"
OS_PACKAGES = "os-pkgs"
PACKAGES = frozenset({OS_PACKAGES, "lang-pkgs"})

#: "Filtering" in Trivy's documentation. Of other statuses it says that nobody has looked.
_FIXES = {
    "fixed": Fix.AVAILABLE,
    "affected": Fix.NONE,
    "will_not_fix": Fix.NONE,
    "fix_deferred": Fix.NONE,
}
_OTHER_FINDINGS = frozenset({"misconfiguration", "secret", "license"})


def from_trivy(document: bytes, *, digest: str, source: str) -> Assessment | Unassessed:
    """Read a report.

    :param digest: of the image that it has to be about
    :raises UnreadableAnswer: when it is about something else, or not of the known form
    """
    report = Reader.of(document, digest, "report")
    if report.get("SchemaVersion") != SCHEMA:
        raise report.wrong("SchemaVersion", f"is not {SCHEMA}")
    if report.required("ArtifactType") != IMAGE:
        raise report.wrong("ArtifactType", f"is not {IMAGE!r}")
    metadata = report.optional("Metadata")
    names = [report.text("ArtifactName"), *metadata.texts("RepoDigests")]
    if not any(name.endswith(f"@{digest}") for name in names):
        raise unreadable(digest, "Trivy's report is about another image.")
    system = metadata.optional("OS")
    results = report.documents("Results")
    findings = tuple(_finding(found, source) for result in results for found in _vulnerabilities(result))
    finished = report.required_moment("CreatedAt")
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
    """What Trivy did not look at: it has a result for an operating system's packages whenever it knows that system."""
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
        fix=Fix.AVAILABLE if found.says("FixedVersion") else fix,
        sources=(source,),
    )


def _scanner(report: Reader, system: Reader) -> str:
    """With a word on systems that get no fixes any more: Trivy itself calls what it finds there insufficient."""
    name = f"Trivy {report.optional('Trivy').text('Version')}".rstrip()
    ended = system.get("EOSL") is True
    return f"{name}, {system.text('Family')} {system.text('Name')} is past its end of life" if ended else name

"""Grype's JSON report of a container image (anchore/grype, ``grype/presenter/models``).

What Grype leaves out by its own judgement stays out; what a VEX document or ``--only-fixed`` made it leave out counts:
exceptions are this gate's.
"""

from __future__ import annotations

from pratique.evidence.parsers.assessment import Assessment, Unassessed
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity

_FIXES = {"fixed": Fix.AVAILABLE, "not-fixed": Fix.NONE, "wont-fix": Fix.NONE}
#: Marks of the rules by which somebody told Grype to ignore a match.
_TOLD = ("vex-status", "fix-state")
#: Grype's alert for packages of a distribution that it does not match.
_NOT_MATCHED = "distro-disabled"


def from_grype(document: bytes, *, digest: str, source: str) -> Assessment | Unassessed:
    """Read a report.

    :param digest: of the image that it has to be about
    :raises UnreadableAnswer: when it is about something else, or not of the known form
    """
    report = Reader.of(document, digest, "report")
    origin = report.document("source")
    if origin.required("type") != "image":
        raise origin.wrong("type", "is not 'image'")
    target = origin.document("target")
    names = [target.text("userInput"), *target.texts("repoDigests")]
    if target.text("manifestDigest") != digest and not any(name.endswith(f"@{digest}") for name in names):
        raise unreadable(digest, "Grype's report is about another image.")
    if report.get("matches") is None:
        raise unreadable(digest, "Grype's report has no list of matches.")
    matches = report.documents("matches") + [one for one in report.documents("ignoredMatches") if _told(one)]
    findings = tuple(_finding(match, source) for match in matches)
    descriptor = report.document("descriptor")
    finished = descriptor.required_moment("timestamp")
    name = f"{descriptor.required('name')} {descriptor.text('version')}".rstrip()
    distribution = report.optional("distro").text("name")
    if not findings and not distribution:
        return Unassessed("Grype recognised neither a distribution nor a vulnerable package")
    if _unmatched(report):
        return Unassessed(f"Grype does not match packages of {distribution or 'the distribution'}", findings)
    return Assessment(findings, finished, name)


def _told(ignored: Reader) -> bool:
    return any(rule.says(mark) for rule in ignored.documents("appliedIgnoreRules") for mark in _TOLD)


def _unmatched(report: Reader) -> bool:
    packages = report.documents("alertsByPackage")
    return any(alert.text("type") == _NOT_MATCHED for package in packages for alert in package.documents("alerts"))


def _finding(match: Reader, source: str) -> Finding:
    vulnerability = match.document("vulnerability")
    artifact = match.document("artifact")
    fix = vulnerability.optional("fix")
    return Finding(
        vulnerability=vulnerability.required("id"),
        severity=_severity(vulnerability),
        package=artifact.text("name"),
        version=artifact.text("version"),
        fixed_version=", ".join(fix.texts("versions")),
        fix=Fix.AVAILABLE if fix.says("versions") else _FIXES.get(fix.text("state").lower(), Fix.UNKNOWN),
        sources=(source,),
    )


def _severity(vulnerability: Reader) -> Severity:
    """Debian and Ubuntu rate below low as well."""
    negligible = vulnerability.text("severity").lower() == "negligible"
    return Severity.LOW if negligible else Severity.parse(vulnerability.get("severity"))

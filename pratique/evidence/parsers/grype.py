"""Grype's JSON report of a container image (anchore/grype, ``grype/presenter/models``).

Matches that Grype ignores by its own rules do not count. Matches that it ignores because of a VEX document or
``--only-fixed`` count: only this gate grants exceptions.
"""

from __future__ import annotations

from pratique.evidence.parsers.assessment import Assessment, Unassessed
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity

_FIXES = {"fixed": Fix.AVAILABLE, "not-fixed": Fix.NONE, "wont-fix": Fix.NONE}
#: Fields of the ignore rules that a user gave to Grype.
_USER_RULES = ("vex-status", "fix-state")
#: Grype's alert for packages of a distribution that it does not match.
_NOT_MATCHED = "distro-disabled"


def from_grype(document: bytes, *, digest: str, source: str) -> Assessment | Unassessed:
    """Parse a report.

    :param digest: of the image that the report must be about
    :raises UnreadableAnswer: when it is about another image, or not in the known format
    """
    report = Reader.of(document, digest, "report")
    origin = report.document("source")
    if origin.required("type") != "image":
        raise origin.invalid("type", "is not 'image'")
    target = origin.document("target")
    names = [target.text("userInput"), *target.texts("repoDigests")]
    if target.text("manifestDigest") != digest and not any(name.endswith(f"@{digest}") for name in names):
        raise unreadable(digest, "Grype's report is about another image.")
    if report.get("matches") is None:
        raise unreadable(digest, "Grype's report has no list of matches.")
    suppressed = [match for match in report.documents("ignoredMatches") if _suppressed_by_user(match)]
    matches = report.documents("matches") + suppressed
    findings = tuple(_finding(match, source) for match in matches)
    descriptor = report.document("descriptor")
    finished = descriptor.required_timestamp("timestamp")
    name = f"{descriptor.required('name')} {descriptor.text('version')}".rstrip()
    distribution = report.optional("distro").text("name")
    if not findings and not distribution:
        return Unassessed("Grype recognised neither a distribution nor a vulnerable package")
    if _has_unmatched_packages(report):
        return Unassessed(f"Grype does not match packages of {distribution or 'the distribution'}", findings)
    return Assessment(findings, finished, name)


def _suppressed_by_user(ignored: Reader) -> bool:
    return any(rule.has(field) for rule in ignored.documents("appliedIgnoreRules") for field in _USER_RULES)


def _has_unmatched_packages(report: Reader) -> bool:
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
        fix=Fix.AVAILABLE if fix.has("versions") else _FIXES.get(fix.text("state").lower(), Fix.UNKNOWN),
        sources=(source,),
        purls=(artifact.text("purl"),),
    )


def _severity(vulnerability: Reader) -> Severity:
    """The rating; ``negligible``, which Debian and Ubuntu use below low, counts as low."""
    negligible = vulnerability.text("severity").lower() == "negligible"
    return Severity.LOW if negligible else Severity.parse(vulnerability.get("severity"))

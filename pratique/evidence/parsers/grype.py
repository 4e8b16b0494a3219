"""Grype's reports of a container image: JSON, and the CycloneDX SBOM of the same run (anchore/grype,
``grype/presenter/models``).

The JSON report lists matches only, so an empty list means nothing without the packages that the SBOM lists. Matches
that Grype ignores count: only this gate grants exceptions. The one exception is Grype's own rule about kernel headers,
which are no code that runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pratique.evidence.parsers.assessment import Assessment, Distribution, Unassessed
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity, end_of_life
from pratique.purl import DISTRIBUTIONS, Purl

_FIXES = {"fixed": Fix.AVAILABLE, "not-fixed": Fix.NONE, "wont-fix": Fix.NONE}
#: The part of a vulnerability's namespace that says that the advisory is a distribution's own.
_OF_DISTRIBUTION = ":distro:"
_KEYS = "gpg-pubkey"
_EOL = "distro-eol"
_REPORTS = 2
_DECODER = json.JSONDecoder()
_NO_SPACE = re.compile(r"\S")
#: Grype's own ignore rules (``ignoreLinuxKernelHeaders``): name, upstream name and type of the package.
_OWN_RULES = frozenset(
    {
        ("kernel-headers", "kernel", "rpm"),
        ("linux(-.*)?-headers-.*", "linux.*", "deb"),
        ("linux-libc-dev", "linux", "deb"),
        ("linux-kbuild-.*", "linux.*", "deb"),
    }
)
_OWN_MATCH = "exact-indirect-match"
#: Settings that make a report incomplete, by path in Grype's configuration, with the values that leave it complete;
#: ``None`` where versions that do not have the setting leave nothing out.
_COMPLETE: Mapping[tuple[str, ...], tuple[Any, ...]] = {
    ("distro",): ("", None),
    ("exclude",): ([], None),
    ("vex-documents",): ([], None),
    ("search", "scope"): ("squashed", "all-layers", "Squashed", "AllLayers"),
    ("search", "indexed-archives"): (True, None),
    # Grype matches by CPE here unless it is told not to. For other languages it does not, unless it is told to.
    ("match", "stock", "using-cpes"): (True, None),
    ("match", "jvm", "using-cpes"): (True, None),
    ("match", "golang", "always-use-cpe-for-stdlib"): (True, None),
    ("alerts", "enable-eol-distro-warnings"): (True,),
}


def from_grype(document: bytes, *, digest: str, source: str) -> Assessment | Unassessed:
    """Parse the two reports of one run, in any order: JSON, and CycloneDX.

    :param digest: of the image that the reports must be about
    :raises UnreadableAnswer: when they are about another image, or not in the known formats
    """
    report, sbom = _reports(document, digest)
    _require_about(report, digest)
    if report.get("matches") is None:
        raise unreadable(digest, "Grype's report has no list of matches.")
    matches = report.documents("matches") + [m for m in report.documents("ignoredMatches") if not _ignored_by_grype(m)]
    distribution = report.optional("distro")
    alerts = _alerts(report)
    findings = tuple(_finding(match, source) for match in matches)
    if _EOL in alerts:
        findings += (end_of_life(distribution.text("name"), distribution.text("version"), source),)
    descriptor = report.document("descriptor")
    finished = descriptor.required_timestamp("timestamp")
    scanner = f"{descriptor.required('name')} {descriptor.text('version')}".rstrip()
    known, reason = _assessed(distribution, sbom, alerts, digest)
    status = descriptor.optional("db").optional("status")
    reason = reason or _incomplete(descriptor.optional("configuration")) or _invalid(status)
    if reason or known is None:
        return Unassessed(reason, findings)
    version = distribution.text("version")
    unconfirmed = None if any(_is_of_distribution(match, version) for match in matches) else known
    return Assessment(findings, finished, scanner, status.timestamp("built"), unconfirmed)


def knows_distribution(document: bytes) -> bool:
    """Whether the report of an SBOM (:func:`pratique.evidence.canary.canary`) names a vulnerability of its system.

    :raises UnreadableAnswer: when it is not a report
    """
    report, _ = _reports(document, "the canary")
    version = report.optional("distro").text("version")
    return any(_is_of_distribution(match, version) for match in report.documents("matches"))


def _reports(document: bytes, subject: str) -> tuple[Reader, Reader | None]:
    """The JSON report and the CycloneDX SBOM, which Grype writes to standard output one after the other."""
    readers = [Reader.of(text, subject, "report") for text in _split(document, subject)]
    reports: list[Reader] = []
    sboms: list[Reader] = []
    for reader in readers:
        (sboms if reader.text("bomFormat") == "CycloneDX" else reports).append(reader)
    if len(reports) != 1 or len(sboms) > 1:
        raise unreadable(subject, "Grype did not write one report in JSON and at most one in CycloneDX.")
    return reports[0], sboms[0] if sboms else None


def _split(document: bytes, subject: str) -> list[str]:
    """The text of each JSON document, in order. Reading stops after one document more than a run of Grype writes."""
    texts: list[str] = []
    start = 0
    try:
        text = document.decode().rstrip()
        while start < len(text) and len(texts) <= _REPORTS:
            start = _NO_SPACE.search(text, start).start()  # type: ignore[union-attr]  # the text ends with no space
            _, end = _DECODER.raw_decode(text, start)
            texts.append(text[start:end])
            start = end
    except (ValueError, RecursionError) as error:
        raise unreadable(subject, f"report is not JSON: {error}.") from error
    return texts


def _require_about(report: Reader, digest: str) -> None:
    origin = report.document("source")
    if origin.required("type") != "image":
        raise origin.invalid("type", "is not 'image'")
    target = origin.document("target")
    names = [target.text("userInput"), *target.texts("repoDigests")]
    if target.text("manifestDigest") != digest and not any(name.endswith(f"@{digest}") for name in names):
        raise unreadable(digest, "Grype's report is about another image.")


def _ignored_by_grype(match: Reader) -> bool:
    rules = match.documents("appliedIgnoreRules")
    return bool(rules) and all(_is_own(rule) for rule in rules)


def _is_own(rule: Reader) -> bool:
    given = {key for key in rule.mapping if rule.has(key)}
    package = rule.optional("package")
    names = {key for key in package.mapping if package.has(key)}
    return (
        given == {"package", "match-type"}
        and names == {"name", "upstream-name", "type"}
        and rule.text("match-type") == _OWN_MATCH
        and (package.text("name"), package.text("upstream-name"), package.text("type")) in _OWN_RULES
    )


def _alerts(report: Reader) -> frozenset[str]:
    packages = report.documents("alertsByPackage")
    return frozenset(alert.required("type").lower() for package in packages for alert in package.documents("alerts"))


def _assessed(
    distribution: Reader, sbom: Reader | None, alerts: frozenset[str], digest: str
) -> tuple[Distribution | None, str]:
    """The distribution of which Grype read packages; or why the reports do not show that there is one."""
    name = f"{distribution.text('name')} {distribution.text('version')}".rstrip()
    if not distribution.text("name"):
        return None, "Grype recognised no distribution"
    if others := sorted(alerts - {_EOL}):
        return None, f"Grype warns that it cannot assess packages of {name}: {', '.join(others)}"
    if sbom is None:
        return None, "Grype did not list the packages that it read: it needs the additional output 'cyclonedx-json'"
    described = sbom.optional("metadata").optional("component")
    if described.text("version") != digest and not described.text("name").endswith(f"@{digest}"):
        raise unreadable(digest, "Grype's list of packages is about another image.")
    components = sbom.documents("components")
    purls = [part.text("purl") for part in components if part.text("name") != _KEYS and part.text("type") == "library"]
    system = next((part for part in components if part.text("type") == "operating-system"), None)
    purl = next(filter(_is_of_system, purls), "")
    if system is None or not purl:
        return None, f"Grype found no package of {name}: the image has no package database, or one that it cannot read"
    return Distribution(name, dict(system.mapping), purl), ""


def _is_of_system(purl: str) -> bool:
    try:
        return Purl.parse(purl).type in DISTRIBUTIONS
    except ValueError:
        return False


def _incomplete(configuration: Reader) -> str:
    """Which setting may have left something out; empty when none has."""
    for path, complete in _COMPLETE.items():
        section = configuration
        for key in path[:-1]:
            section = section.optional(key)
        if section.get(path[-1]) not in complete:
            return f"Grype ran with a setting that may leave findings out: {'.'.join(path)}"
    return ""


def _invalid(status: Reader) -> str:
    """Why Grype's database cannot be relied on; empty when it can."""
    return "" if status.get("valid") is True and not status.has("error") else "Grype's database is not valid"


def _is_of_distribution(match: Reader, version: str) -> bool:
    """Whether a match shows that the database knows this release of the distribution.

    A match by CPE, of NVD, does not; nor does an advisory about another release: Grype looks into all releases with the
    same major version when it has no data about the very release.
    """
    if match.document("artifact").text("type") not in DISTRIBUTIONS:
        return False
    _, found, rest = match.document("vulnerability").text("namespace").partition(_OF_DISTRIBUTION)
    release = rest.rpartition(":")[2]
    numbered = re.fullmatch(r"\d+(\.\d+)*", release) is not None
    return bool(found and release) and (not numbered or f"{version}.".startswith(f"{release}."))


def _finding(match: Reader, source: str) -> Finding:
    vulnerability = match.document("vulnerability")
    artifact = match.document("artifact")
    fix = vulnerability.optional("fix")
    return Finding(
        vulnerability=vulnerability.required("id"),
        severity=Severity.parse(vulnerability.get("severity")),
        package=artifact.text("name"),
        version=artifact.text("version"),
        fixed_version=", ".join(fix.texts("versions")),
        fix=Fix.AVAILABLE if fix.has("versions") else _FIXES.get(fix.text("state").lower(), Fix.UNKNOWN),
        sources=(source,),
        purls=(artifact.text("purl"),),
    )

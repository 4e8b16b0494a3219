"""Grype's reports: nothing unreadable becomes "nothing found"."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.assessment import Assessment, Unassessed
from pratique.evidence.parsers.grype import from_grype
from pratique.findings import Finding, Fix, Severity
from tests.pratique.evidence.parsers.mutations import DIGEST, JSON, encoded, listed

NAME = f"acraks.azurecr.io/quarantine/kured@{DIGEST}"


def match(**vulnerability: Any) -> dict[str, Any]:
    return {
        "vulnerability": {
            "id": "CVE-2026-0001",
            "namespace": "alpine:distro:alpine:3.20",
            "severity": "High",
            "cvss": [{"version": "3.1", "metrics": {"baseScore": 7.5}}],
            "fix": {"versions": ["3.0.16-r0", "3.1.2-r0"], "state": "fixed"},
            "advisories": [],
            **vulnerability,
        },
        "relatedVulnerabilities": [],
        "matchDetails": [{"type": "exact-direct-match", "matcher": "apk-matcher"}],
        "artifact": {"id": "a246fd2054833c93", "name": "libssl3", "version": "3.0.1-r0", "type": "apk"},
    }


def report(**changes: Any) -> dict[str, Any]:
    """A report as Grype 0.11x writes it."""
    return {
        "matches": [match(), match(id="GHSA-xxxx-yyyy-zzzz")],
        "source": {
            "type": "image",
            "target": {
                "userInput": NAME,
                "imageID": "sha256:" + "ab" * 32,
                "manifestDigest": DIGEST,
                "tags": [],
                "repoDigests": [NAME],
                "architecture": "amd64",
            },
        },
        "distro": {"name": "alpine", "version": "3.20.2", "idLike": []},
        "descriptor": {
            "name": "grype",
            "version": "0.115.0",
            "db": {"status": {"schemaVersion": "v6.1.0", "built": "2026-11-23T04:00:00Z", "valid": True}},
            "timestamp": "2026-11-23T12:15:00.123456789+02:00",
        },
        **changes,
    }


def target(**changes: Any) -> dict[str, Any]:
    return {"type": "image", "target": changes}


def read(document: dict[str, Any]) -> Assessment | Unassessed:
    return from_grype(json.dumps(document).encode(), digest=DIGEST, source="grype")


def test_report() -> None:
    """Every match is a finding."""
    findings = tuple(
        Finding(
            vulnerability=name,
            severity=Severity.HIGH,
            package="libssl3",
            version="3.0.1-r0",
            fixed_version="3.0.16-r0, 3.1.2-r0",
            fix=Fix.AVAILABLE,
            sources=("grype",),
        )
        for name in ("CVE-2026-0001", "GHSA-xxxx-yyyy-zzzz")
    )
    assert read(report()) == Assessment(findings, datetime(2026, 11, 23, 10, 15, 0, 123456, UTC), "grype 0.115.0")


def test_clean_report() -> None:
    """A report without matches for a distribution that Grype knows is a clean assessment."""
    assert read(report(matches=[])) == Assessment((), datetime(2026, 11, 23, 10, 15, 0, 123456, UTC), "grype 0.115.0")


@pytest.mark.parametrize("distro", [None, {}, {"name": "", "version": ""}, {"name": 7}], ids=str)
def test_unassessed(distro: object) -> None:
    """Without a match and a distribution the image is unassessed; a match without a distribution is an assessment."""
    assert isinstance(read(report(matches=[], distro=distro)), Unassessed)
    assert isinstance(read(report(distro=distro)), Assessment)


def test_distribution_without_matching() -> None:
    """An image is unassessed when Grype does not match its distribution; findings in other packages still count."""
    alert = {"package": {"name": "zlib"}, "alerts": [{"type": "distro-disabled", "message": "no data"}]}
    found = read(report(alertsByPackage=[alert]))
    assert isinstance(found, Unassessed)
    assert len(found.findings) == 2
    ended = read(report(alertsByPackage=[{"package": {}, "alerts": [{"type": "distro-eol"}]}]))
    assert isinstance(ended, Assessment)


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Critical", Severity.CRITICAL),
        ("Negligible", Severity.LOW),
        ("Unknown", Severity.UNKNOWN),
        ("", Severity.UNKNOWN),
        (None, Severity.UNKNOWN),
        (["Low"], Severity.UNKNOWN),
    ],
)
def test_severities(text: object, severity: Severity) -> None:
    """Negligible counts as low; a match without a rating has unknown severity."""
    assert [finding.severity for finding in read(report(matches=[match(severity=text)])).findings] == [severity]


@pytest.mark.parametrize(
    ("fix", "expected"),
    [
        ({"versions": ["1"], "state": "fixed"}, Fix.AVAILABLE),
        ({"versions": [], "state": "fixed"}, Fix.AVAILABLE),
        ({"versions": [7], "state": "wont-fix"}, Fix.AVAILABLE),
        ({"versions": [], "state": "not-fixed"}, Fix.NONE),
        ({"versions": [], "state": "wont-fix"}, Fix.NONE),
        ({"versions": [], "state": "unknown"}, Fix.UNKNOWN),
        ({"versions": [], "state": ""}, Fix.UNKNOWN),
        (None, Fix.UNKNOWN),
    ],
    ids=str,
)
def test_fixes(fix: object, expected: Fix) -> None:
    """A finding has no fix only when the report says so explicitly."""
    assert [finding.fix for finding in read(report(matches=[match(fix=fix)])).findings] == [expected]


@pytest.mark.parametrize(
    ("rule", "findings"),
    [
        ({"namespace": "vex", "vex-status": "not_affected"}, 1),
        ({"namespace": "", "fix-state": "not-fixed"}, 1),
        ({"package": {"name": "linux-libc-dev"}, "match-type": "exact-indirect-match"}, 0),
    ],
    ids=str,
)
def test_ignored_matches(rule: dict[str, Any], findings: int) -> None:
    """Matches that a user's rule ignores are findings; matches that Grype's own rules ignore are not."""
    found = read(report(matches=[], ignoredMatches=[match() | {"appliedIgnoreRules": [rule]}]))
    assert len(found.findings) == findings


@pytest.mark.parametrize(
    "source",
    [
        target(manifestDigest=DIGEST),
        target(repoDigests=[NAME], manifestDigest="sha256:" + "ff" * 32),
        target(userInput=f"registry:{NAME}"),
    ],
    ids=str,
)
def test_about_the_image(source: dict[str, Any]) -> None:
    """A report is about the image when the requested reference or the scanned manifest has its digest."""
    assert isinstance(read(report(source=source)), Assessment)


@pytest.mark.parametrize(
    "changes",
    [
        {"matches": None},
        {"matches": {}},
        {"matches": ["CVE-2026-0001"]},
        {"matches": [{}]},
        {"matches": [match(id=None)]},
        {"matches": [match(id="CVE\0")]},
        {"matches": [match() | {"artifact": None}]},
        {"Matches": []},
        {"source": None},
        {"source": {"type": "directory", "target": "."}},
        {"source": {"type": "unknown", "target": "unknown"}},
        {"source": target(imageID=DIGEST, manifestDigest="sha256:" + "ff" * 32)},
        {"source": target(userInput="kured:1.14.0", tags=[NAME])},
        {"descriptor": {"name": "grype", "timestamp": ""}},
        {"descriptor": {"timestamp": "2026-11-23T12:15:00Z"}},
        {"descriptor": None},
    ],
    ids=lambda changes: str(changes)[:60].replace("\0", "NUL"),
)
def test_unreadable_report(changes: dict[str, Any]) -> None:
    """A report about another image, or one that cannot be read in full, raises an error."""
    with pytest.raises(UnreadableAnswer):
        read(report(**changes))


@settings(max_examples=300)
@given(encoded(report()))
def test_nothing_gets_lost(document: bytes) -> None:
    """Whatever is wrong with a report, every match is a finding, or parsing raises an error."""
    with suppress(UnreadableAnswer):
        found = from_grype(document, digest=DIGEST, source="grype")
        assert len(found.findings) == len(listed(json.loads(document), "matches"))


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage(document: bytes) -> None:
    """Bytes that are not a report raise an error."""
    with pytest.raises(UnreadableAnswer):
        from_grype(document, digest=DIGEST, source="grype")

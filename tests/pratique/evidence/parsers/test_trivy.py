"""Trivy's reports: nothing unreadable becomes "nothing found"."""

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
from pratique.evidence.parsers.trivy import from_trivy
from pratique.findings import Finding, Fix, Severity
from tests.pratique.evidence.parsers.mutations import DIGEST, JSON, encoded, listed

NAME = f"acraks.azurecr.io/quarantine/kured@{DIGEST}"


def vulnerability(**changes: Any) -> dict[str, Any]:
    return {
        "VulnerabilityID": "CVE-2026-0001",
        "PkgID": "libssl3@3.0.1-r0",
        "PkgName": "libssl3",
        "InstalledVersion": "3.0.1-r0",
        "FixedVersion": "3.0.16-r0",
        "Status": "fixed",
        "Layer": {"DiffID": "sha256:" + "03" * 32},
        "SeveritySource": "nvd",
        "Title": "openssl: something",
        "Severity": "HIGH",
        "CVSS": {"nvd": {"V3Score": 7.5}},
        **changes,
    }


def result(**changes: Any) -> dict[str, Any]:
    return {
        "Target": f"{NAME} (alpine 3.20.2)",
        "Class": "os-pkgs",
        "Type": "alpine",
        "Vulnerabilities": [vulnerability()],
        **changes,
    }


def report(**changes: Any) -> dict[str, Any]:
    """A report as Trivy 0.7x writes it."""
    return {
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.71.0"},
        "CreatedAt": "2026-11-23T12:15:00.838423123+02:00",
        "ArtifactName": NAME,
        "ArtifactType": "container_image",
        "Metadata": {
            "Size": 8,
            "OS": {"Family": "alpine", "Name": "3.20.2"},
            "ImageID": "sha256:" + "96" * 32,
            "RepoDigests": [NAME],
            "ImageConfig": {"architecture": "amd64", "os": "linux"},
        },
        "Results": [
            result(),
            {
                "Target": "Node.js",
                "Class": "lang-pkgs",
                "Type": "node-pkg",
                "Vulnerabilities": [vulnerability(VulnerabilityID="CVE-2026-0002", PkgName="lodash")],
            },
        ],
        **changes,
    }


def read(document: dict[str, Any]) -> Assessment | Unassessed:
    return from_trivy(json.dumps(document).encode(), digest=DIGEST, source="trivy")


def test_report() -> None:
    """Findings of every result count: packages of the operating system and of languages."""
    names = [("CVE-2026-0001", "libssl3"), ("CVE-2026-0002", "lodash")]
    findings = tuple(
        Finding(
            vulnerability=name,
            severity=Severity.HIGH,
            package=package,
            version="3.0.1-r0",
            fixed_version="3.0.16-r0",
            fix=Fix.AVAILABLE,
            sources=("trivy",),
        )
        for name, package in names
    )
    assert read(report()) == Assessment(
        findings, datetime(2026, 11, 23, 10, 15, 0, 838423, UTC), scanner="Trivy 0.71.0"
    )


@pytest.mark.parametrize("vulnerabilities", [{}, {"Vulnerabilities": None}, {"Vulnerabilities": []}], ids=str)
def test_clean_report(vulnerabilities: dict[str, Any]) -> None:
    """A result for the system's packages without vulnerabilities is a clean assessment."""
    clean = {"Target": "x (alpine 3.20.2)", "Class": "os-pkgs", "Type": "alpine"} | vulnerabilities
    found = read(report(Results=[clean]))
    assert isinstance(found, Assessment)
    assert found.findings == ()


@pytest.mark.parametrize(
    ("system", "results", "findings"),
    [
        (None, None, 0),
        (None, [], 0),
        ({}, [], 0),
        ({"Family": "alpine", "Name": "3.20.2"}, [], 0),
        ({"Family": "slackware", "Name": "15"}, [result(Class="lang-pkgs")], 1),
        (None, [result(Class="secret", Vulnerabilities=None)], 0),
    ],
    ids=str,
)
def test_unassessed(system: object, results: object, findings: int) -> None:
    """Without packages, or with a system whose packages are unknown, the image is unassessed; findings still count."""
    found = read(report(Metadata={"OS": system, "RepoDigests": [NAME]}, Results=results))
    assert isinstance(found, Unassessed)
    assert len(found.findings) == findings


def test_programs_without_a_system() -> None:
    """An image from scratch is assessed when the packages of its programs are."""
    found = read(report(Metadata={"RepoDigests": [NAME]}, Results=[result(Class="lang-pkgs", Vulnerabilities=[])]))
    assert isinstance(found, Assessment)


def test_end_of_life() -> None:
    """The scanner's name mentions a system that no longer gets fixes."""
    system = {"Family": "alpine", "Name": "3.10.2", "EOSL": True}
    found = read(report(Metadata={"OS": system, "RepoDigests": [NAME]}))
    assert isinstance(found, Assessment)
    assert found.scanner == "Trivy 0.71.0, alpine 3.10.2 is past its end of life"


@pytest.mark.parametrize(
    ("status", "version", "fix"),
    [
        ("fixed", "3.0.16", Fix.AVAILABLE),
        ("fixed", "", Fix.AVAILABLE),
        ("will_not_fix", "3.0.16", Fix.AVAILABLE),
        ("will_not_fix", ["3.0.16"], Fix.AVAILABLE),
        ("affected", "", Fix.NONE),
        ("will_not_fix", None, Fix.NONE),
        ("fix_deferred", None, Fix.NONE),
        ("end_of_life", None, Fix.UNKNOWN),
        ("under_investigation", None, Fix.UNKNOWN),
        ("not_affected", None, Fix.UNKNOWN),
        (None, None, Fix.UNKNOWN),
        (7, None, Fix.UNKNOWN),
    ],
)
def test_statuses(status: object, version: object, fix: Fix) -> None:
    """A listed vulnerability is a finding whatever its status; it has no fix only when the status says so."""
    found = read(report(Results=[result(Vulnerabilities=[vulnerability(Status=status, FixedVersion=version)])]))
    assert [finding.fix for finding in found.findings] == [fix]


@pytest.mark.parametrize(
    ("text", "severity"),
    [("CRITICAL", Severity.CRITICAL), ("UNKNOWN", Severity.UNKNOWN), (None, Severity.UNKNOWN), (3, Severity.UNKNOWN)],
)
def test_severities(text: object, severity: Severity) -> None:
    """A vulnerability without a rating has unknown severity."""
    found = read(report(Results=[result(Vulnerabilities=[vulnerability(Severity=text)])]))
    assert [finding.severity for finding in found.findings] == [severity]


def test_suppressed() -> None:
    """Suppressed vulnerabilities are findings; secrets, licences and misconfigurations are not."""
    modified = [
        {"Type": kind, "Status": "ignored", "Source": ".trivyignore", "Finding": finding}
        for kind, finding in (("vulnerability", vulnerability()), ("secret", {"RuleID": "aws-access-key-id"}))
    ]
    found = read(report(Results=[result(Vulnerabilities=[], ExperimentalModifiedFindings=modified)]))
    assert [finding.vulnerability for finding in found.findings] == ["CVE-2026-0001"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ArtifactName": f"x@{DIGEST}", "Metadata": {}},
        {"ArtifactName": "x:1", "Metadata": {"RepoDigests": ["y@sha256:" + "ff" * 32, NAME]}},
    ],
    ids=str,
)
def test_about_the_image(changes: dict[str, Any]) -> None:
    """A report is about the image when its name or one of its digests says so."""
    assert isinstance(read(report(**changes)), Assessment)


@pytest.mark.parametrize(
    "changes",
    [
        {"SchemaVersion": 1},
        {"SchemaVersion": None},
        {"ArtifactType": "filesystem"},
        {"ArtifactType": None},
        {"ArtifactName": "x:1", "Metadata": {"RepoDigests": ["x@sha256:" + "ff" * 32], "ImageID": DIGEST}},
        {"ArtifactName": DIGEST, "Metadata": None},
        {"CreatedAt": None},
        {"CreatedAt": "0001-01-01T00:00:00Z"},
        {"CreatedAt": "today"},
        {"Results": {}},
        {"Results": ["x"]},
        {"Results": [{}]},
        {"Results": [result(Class=None)]},
        {"Results": [result(Vulnerabilities={"VulnerabilityID": "CVE-2026-0001"})]},
        {"Results": [result(Vulnerabilities=[None])]},
        {"Results": [result(Vulnerabilities=[vulnerability(VulnerabilityID=None)])]},
        {"Results": [result(Vulnerabilities=[vulnerability(VulnerabilityID="CVE\0")])]},
        {"Results": [result(vulnerabilities=[])]},
        {"Results": [result(ExperimentalModifiedFindings=[{"Type": "brand new", "Finding": {}}])]},
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
    """Whatever is wrong with a report, everything it lists is a finding, or parsing raises an error."""
    with suppress(UnreadableAnswer):
        found = from_trivy(document, digest=DIGEST, source="trivy")
        results = listed(json.loads(document), "Results")
        assert len(found.findings) == sum(len(listed(result, "Vulnerabilities")) for result in results)


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage(document: bytes) -> None:
    """Bytes that are not a report raise an error."""
    with pytest.raises(UnreadableAnswer):
        from_trivy(document, digest=DIGEST, source="trivy")

"""Sub-assessments: nothing unreadable becomes "no findings"."""

from __future__ import annotations

import copy
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.place import Place
from pratique.evidence.parsers.sub_assessment import KEY, from_sub_assessment
from pratique.findings import Finding, Fix, Severity
from tests.pratique.evidence.parsers.mutations import DIGEST, mutated

ROW: dict[str, Any] = {
    "id": f"/subscriptions/s/providers/Microsoft.Security/assessments/{KEY}/subassessments/1",
    "properties": {
        "id": "CVE-2026-0001",
        "displayName": "CVE-2026-0001",
        "timeGenerated": "2026-11-21T10:00:00Z",
        "resourceDetails": {"source": "Azure", "id": f"/repositories/quarantine/kured/images/{DIGEST}"},
        "status": {"code": "Unhealthy", "severity": "High", "cause": "", "description": ""},
        "additionalData": {
            "assessedResourceType": "AzureContainerRegistryVulnerability",
            "cvssV30Score": 7.5,
            "artifactDetails": {
                "registryHost": "ACRaks.azurecr.io",
                "repositoryName": "quarantine/kured",
                "digest": DIGEST,
                "tags": ["1.14.0"],
                "lastPushedToRegistryUTC": "2026-11-20T08:00:00Z",
            },
            "vulnerabilityDetails": {"cveId": "CVE-2026-0001", "severity": "High"},
            "softwareDetails": {
                "packageName": "openssl",
                "version": "3.0.1",
                "fixedVersion": "3.0.16",
                "fixStatus": "FixAvailable",
            },
        },
    },
}


def row(status: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    document = copy.deepcopy(ROW)
    document["properties"]["status"].update(status or {})
    document["properties"]["additionalData"].update(data)
    return document


def read(document: dict[str, Any]) -> Row:
    return from_sub_assessment(document, source="graph")


def test_sub_assessment() -> None:
    """A row is one finding of the image that it is about."""
    assert read(row()) == Row(
        id=ROW["id"],
        place=Place(
            digests=frozenset({DIGEST}),
            registries=frozenset({"acraks.azurecr.io"}),
            repositories=frozenset({"quarantine/kured"}),
        ),
        findings=(
            Finding(
                vulnerability="CVE-2026-0001",
                severity=Severity.HIGH,
                package="openssl",
                version="3.0.1",
                fixed_version="3.0.16",
                fix=Fix.AVAILABLE,
                sources=("graph",),
            ),
        ),
        pushed=datetime(2026, 11, 20, 8, tzinfo=UTC),
        at=datetime(2026, 11, 21, 10, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("status", "details", "severity"),
    [
        ("Low", "Critical", Severity.CRITICAL),
        ("Critical", "Low", Severity.CRITICAL),
        ("Low", None, Severity.LOW),
        (None, "medium", Severity.MEDIUM),
        ("Low", "Unknown", Severity.UNKNOWN),
        ("Low", 7, Severity.UNKNOWN),
        (None, None, Severity.UNKNOWN),
    ],
)
def test_severities(status: object, details: object, severity: Severity) -> None:
    """The worse of two severities counts; a row without one has unknown severity."""
    document = row(
        {"severity": status}, vulnerabilityDetails={"cveId": "CVE-2026-0001", "severity": details}, cvssV30Score=None
    )
    assert [finding.severity for finding in read(document).findings] == [severity]


@pytest.mark.parametrize("code", ["Healthy", "NotApplicable", "Unhealthy", "Brand new"])
def test_details_count_whatever_the_status(code: str) -> None:
    """A vulnerability that a row describes is a finding, whether or not it is exempted in the portal."""
    found = read(row({"code": code, "cause": "Exempt"}))
    assert [finding.vulnerability for finding in found.findings] == ["CVE-2026-0001"]
    assert found.not_applicable == ("Exempt" if code == "NotApplicable" else "")


@pytest.mark.parametrize(
    ("code", "findings", "not_applicable"),
    [("Healthy", 0, ""), ("NotApplicable", 0, "no cause given"), ("Unhealthy", 1, ""), ("Brand new", 1, "")],
)
def test_rows_without_details(code: str, findings: int, not_applicable: str) -> None:
    """Without details a healthy row has no finding, a NotApplicable row says so, and any other row is a finding."""
    found = read(row({"code": code}, vulnerabilityDetails=None, softwareDetails=None))
    assert (len(found.findings), found.not_applicable) == (findings, not_applicable)


@pytest.mark.parametrize("name", [None, "", "CVE\0", 7])
def test_nameless_vulnerability(name: object) -> None:
    """A vulnerability without a readable name gets the row's name."""
    found = read(row({"code": "Healthy"}, vulnerabilityDetails={"cveId": name, "severity": "High"}))
    assert [finding.vulnerability for finding in found.findings] == ["CVE-2026-0001"]


@pytest.mark.parametrize(
    ("software", "fix"),
    [
        ({"fixStatus": "NoFix"}, Fix.NONE),
        ({"fixStatus": "NoFix", "fixedVersion": "3.0.16"}, Fix.AVAILABLE),
        ({"fixStatus": "fixavailable"}, Fix.AVAILABLE),
        ({"fixStatus": "Postponed"}, Fix.UNKNOWN),
        ({}, Fix.UNKNOWN),
        (None, Fix.UNKNOWN),
    ],
    ids=str,
)
def test_fixes(software: object, fix: Fix) -> None:
    """A finding has no fix only when the row says so explicitly."""
    assert [finding.fix for finding in read(row(softwareDetails=software)).findings] == [fix]


@pytest.mark.parametrize(
    "data",
    [
        {"artifactDetails": [DIGEST]},
        {"artifactDetails": {"registryHost": "a", "repositoryName": "b", "digest": "sha256:1"}},
        {"vulnerabilityDetails": ["CVE-2026-0001"]},
        {"vulnerabilityDetails": 0},
        {"softwareDetails": "openssl"},
        {"AdditionalData": {}, "artifactdetails": {}},
    ],
    ids=str,
)
def test_malformed_row(data: dict[str, Any]) -> None:
    """A row that cannot be read in full raises an error."""
    with pytest.raises(UnreadableAnswer):
        read(row({"code": "Healthy"}, **data))


@pytest.mark.parametrize(
    "artifact",
    [
        None,
        {"repositoryName": "quarantine/kured", "digest": DIGEST},
        {"registryHost": "a\0", "repositoryName": "quarantine/kured", "digest": DIGEST},
        {"registryHost": "a", "repositoryName": ["quarantine/kured"], "digest": DIGEST},
    ],
    ids=str,
)
def test_unclear_place(artifact: object) -> None:
    """A row that does not say clearly where its image stands has its finding and its digest, and is about no place."""
    found = read(row(artifactDetails=artifact))
    assert len(found.findings) == 1
    assert found.place.digests == {DIGEST}
    assert not found.place.is_at("a", "quarantine/kured")


@pytest.mark.parametrize(
    ("score", "severity"), [(9.8, Severity.CRITICAL), ("9.8", Severity.CRITICAL), (0, Severity.LOW), (2, Severity.LOW)]
)
def test_scores(score: object, severity: Severity) -> None:
    """A score that is worse than the severity counts; 0 is no score."""
    found = read(row({"severity": "Low"}, vulnerabilityDetails={"cveId": "CVE-2026-0001"}, cvssV30Score=score))
    assert [finding.severity for finding in found.findings] == [severity]


def test_another_assessment() -> None:
    """A row of another scanner is read too, also in Qualys' format; it is known to be of another kind."""
    document = row(
        artifactDetails=None,
        vulnerabilityDetails=None,
        softwareDetails=None,
        imageDigest=DIGEST.upper().replace("SHA256", "sha256"),
        registryHost="acraks.azurecr.io",
        repositoryName="quarantine/kured",
        cve=[{"title": "CVE-2026-0001", "link": "x"}, {"title": "CVE-2026-0002", "link": "x"}],
        patchable=True,
    )
    document["id"] = document["id"].replace(KEY, "dbd0cb49-b563-45e7-9724-889e799fa648")
    found = read(document)
    assert [(finding.vulnerability, finding.fix) for finding in found.findings] == [
        ("CVE-2026-0001", Fix.AVAILABLE),
        ("CVE-2026-0002", Fix.AVAILABLE),
    ]
    assert found.place.is_at("acraks.azurecr.io", "quarantine/kured")
    assert (found.kind, read(row()).kind) == ("assessment dbd0cb49-b563-45e7-9724-889e799fa648", "")


@settings(max_examples=300)
@given(mutated(ROW))
def test_nothing_gets_lost(document: dict[str, Any]) -> None:
    """Whatever is wrong with an unhealthy row, it is a finding or raises an error."""
    with suppress(UnreadableAnswer):
        found = read(document)
        assert len(found.findings) == 1
        assert not found.not_applicable

"""Individual recommendations: nothing unreadable becomes "no findings"."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.recommendation import from_recommendation
from pratique.findings import Finding, Fix, Severity
from tests.pratique.evidence.parsers.mutations import DEEP, DIGEST, JSON, listed, mutated

CVES = [
    {"CveId": "CVE-2026-0001", "Severity": "High", "FixStatus": "FixAvailable", "FixedVersion": "3.0.16"},
    {"CveId": "CVE-2026-0002", "Severity": None},
]
ABOUT = {
    "Digest": DIGEST.upper().replace("SHA256", "sha256"),
    "RegistryHost": "ACRaks.azurecr.io",
    "RepositoryDetails": {
        "RepositoryName": "quarantine/library/busybox",
        "LastPushedToRegistryUTC": "2026-11-20T08:00:00Z",
    },
}
STATUS = {
    "code": "Unhealthy",
    "cause": "",
    "firstEvaluationDate": "2026-11-20T10:00:00Z",
    "statusChangeDate": "2026-11-21T10:00:00.1234567Z",
}


def row(status: dict[str, Any] | None = None, about: dict[str, Any] | None = None, **additional: Any) -> dict[str, Any]:
    """A row as observed in tenants."""
    data = {
        "SoftwareName": "openssl",
        "FixStatus": "FixAvailable",
        "FixedVersion": "3.0.15",
        "DetectedSoftwareVersions": ["3.0.1"],
        "CvesDetails": json.dumps(CVES),
    }
    return {
        "id": "/subscriptions/s/providers/Microsoft.Security/assessments/1",
        "properties": {
            "metadata": {"severity": "High", "displayName": "Update openssl"},
            "resourceAdditionalData": json.dumps(ABOUT | (about or {})),
            "additionalData": {**data, **additional},
            "status": STATUS | (status or {}),
        },
    }


def read(document: dict[str, Any]) -> Row:
    return from_recommendation(document, source="graph")


def camel(value: Any) -> Any:
    """The same document in the other casing."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: camel(inner) for key, inner in value.items()}
    return [camel(inner) for inner in value] if isinstance(value, list) else value


def unfolded() -> dict[str, Any]:
    """A row whose nested documents are objects, not JSON text."""
    document = row(CvesDetails=CVES)
    document["properties"]["resourceAdditionalData"] = ABOUT
    return document


def test_recommendation() -> None:
    """Each nested CVE is a finding of the image that the row is about; a CVE without severity is unknown."""
    assert read(row()) == Row(
        digest=DIGEST,
        registry_host="acraks.azurecr.io",
        repository="quarantine/library/busybox",
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
            Finding(
                vulnerability="CVE-2026-0002",
                severity=Severity.UNKNOWN,
                package="openssl",
                version="3.0.1",
                fixed_version="3.0.15",
                fix=Fix.AVAILABLE,
                sources=("graph",),
            ),
        ),
        pushed=datetime(2026, 11, 20, 8, tzinfo=UTC),
        at=datetime(2026, 11, 21, 10, 0, 0, 123456, UTC),
    )


def test_forms_of_a_row() -> None:
    """A row means the same in both casings, and with nested documents as objects or as JSON text."""
    usual = read(row())
    nested = unfolded()
    text = {**nested, "properties": json.dumps(nested["properties"])}
    for document in (nested, camel(copy.deepcopy(nested)), text):
        assert read(document) == usual


@pytest.mark.parametrize(
    ("versions", "text"), [("1.36.1-r2", "1.36.1-r2"), (["1", "2"], "1, 2"), ('["1"]', "1"), (None, ""), ([[]], "")]
)
def test_versions(versions: object, text: str) -> None:
    """Detected versions are read from a list, from JSON text of a list, or from a single version."""
    assert read(row(DetectedSoftwareVersions=versions)).findings[0].version == text


@pytest.mark.parametrize("cves", [None, [], "[]", "null"])
def test_unhealthy_without_cves(cves: object) -> None:
    """An unhealthy row that lists no CVE is itself a finding, or raises an error; it never counts as clean."""
    try:
        findings = read(row(CvesDetails=cves)).findings
    except UnreadableAnswer:
        return
    assert [(finding.vulnerability, finding.severity) for finding in findings] == [("Update openssl", Severity.HIGH)]


def test_healthy_row() -> None:
    """A row that says Healthy and lists nothing is an assessment without findings."""
    healthy = read(row({"code": "Healthy"}, CvesDetails=[]))
    assert (healthy.findings, healthy.not_applicable) == ((), "")


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({"cause": "Exempt", "description": "Disabled"}, "Exempt"),
        ({"cause": "", "description": "Disabled"}, "Disabled"),
        ({"cause": None}, "no cause given"),
        ({"code": "notapplicable", "cause": 7}, "no cause given"),
    ],
    ids=str,
)
def test_not_applicable(status: dict[str, Any], cause: str) -> None:
    """A row that says NotApplicable gives the cause, and is never taken for a healthy one."""
    found = read(row({"code": "NotApplicable"} | status, CvesDetails=[]))
    assert (found.findings, found.not_applicable) == ((), cause)


@pytest.mark.parametrize("code", ["Healthy", "NotApplicable", "Unhealthy", "Brand new"])
def test_cves_count_whatever_the_status(code: str) -> None:
    """CVEs that a row lists are findings, whether or not they are exempted in the portal."""
    found = read(row({"code": code, "cause": "Exempt"}))
    assert len(found.findings) == 2
    assert bool(found.not_applicable) == (code == "NotApplicable")


def test_unknown_status_without_cves() -> None:
    """An unknown status does not count as healthy."""
    assert len(read(row({"code": "Brand new"}, CvesDetails=[])).findings) == 1


@pytest.mark.parametrize(
    ("update", "cve", "fix"),
    [
        (("NoFix", ""), ("NoFix", ""), Fix.NONE),
        (("nofixavailable", ""), (None, None), Fix.NONE),
        ((None, None), ("WillNotFix", ""), Fix.NONE),
        (("NoFix", ""), ("FixAvailable", ""), Fix.AVAILABLE),
        (("NoFix", "3.0.16"), ("NoFix", ""), Fix.AVAILABLE),
        (("NoFix", ""), ("NoFix", ["3.0.16"]), Fix.AVAILABLE),
        (("NoFix", ""), ("Postponed", ""), Fix.UNKNOWN),
        (("NoFix", ""), (7, ""), Fix.UNKNOWN),
        (("NoFix\0", ""), (None, None), Fix.UNKNOWN),
        ((None, None), (None, None), Fix.UNKNOWN),
    ],
    ids=str,
)
def test_fixes(update: tuple[Any, Any], cve: tuple[Any, Any], fix: Fix) -> None:
    """A finding has no fix only when every status says so; an unknown status does not say so."""
    entry = {"CveId": "CVE-2026-0001", "FixStatus": cve[0], "FixedVersion": cve[1]}
    (found,) = read(row(CvesDetails=[entry], FixStatus=update[0], FixedVersion=update[1])).findings
    assert found.fix is fix


@pytest.mark.parametrize(
    ("about", "pushed"),
    [
        ({"LastPushedToRegistryUTC": "2026-11-22T08:00:00"}, 22),
        ({"LastPushedToRegistryUTC": "2026-11-19T08:00:00Z"}, 20),
        ({"LastPushedToRegistryUTC": "0001-01-01T00:00:00Z"}, 20),
        ({"RepositoryDetails": {"RepositoryName": "x"}}, None),
    ],
    ids=str,
)
def test_pushed(about: dict[str, Any], pushed: int | None) -> None:
    """The push time is the latest that the row gives, so that a row is not ignored by mistake as an earlier push."""
    found = read(row(about=about)).pushed
    assert (found and found.day) == pushed


def test_evaluated() -> None:
    """A status that never changed has the time of its first evaluation; one without dates has no time."""
    first = read(row({"statusChangeDate": None})).at
    assert first == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert read(row({"statusChangeDate": None, "firstEvaluationDate": ""})).at is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resourceAdditionalData", None),
        ("resourceAdditionalData", json.dumps(ABOUT)[:-7]),
        ("resourceAdditionalData", "\0" + json.dumps(ABOUT)),
        ("resourceAdditionalData", {**ABOUT, "Digest": "sha256:\0"}),
        ("resourceAdditionalData", {**ABOUT, "Digest": 7}),
        ("resourceAdditionalData", {**ABOUT, "RegistryHost": None}),
        ("resourceAdditionalData", {**ABOUT, "registryHost": "another.azurecr.io"}),
        ("resourceAdditionalData", {**ABOUT, "RepositoryDetails": {"RepositoryName": ["x"]}}),
        ("resourceAdditionalData", {**ABOUT, "LastPushedToRegistryUTC": "yesterday"}),
        ("additionalData", None),
        ("additionalData", []),
        ("additionalData", {"CvesDetails": json.dumps(CVES)[:-3]}),
        ("additionalData", {"CvesDetails": {"CveId": "CVE-2026-0001"}}),
        ("additionalData", {"CvesDetails": ["CVE-2026-0001"]}),
        ("additionalData", {"CvesDetails": [{"Severity": "Low"}]}),
        ("additionalData", {"CvesDetails": [{"CveId": "CVE\0", "Severity": "Low"}]}),
        ("additionalData", {"CvesDetails": [], "cvesDetails": CVES}),
        ("additionalData", {"CvesDetails": DEEP}),
        ("additionalData", '{"CvesDetails": [NaN]}'),
        ("status", {"code": None}),
        ("status", {"code": "Unhealthy", "statusChangeDate": 7}),
    ],
    ids=lambda value: str(value)[:60].replace("\0", "NUL"),
)
def test_malformed_row(key: str, value: object) -> None:
    """A row that cannot be read in full raises an error."""
    document = row()
    document["properties"][key] = value
    with pytest.raises(UnreadableAnswer):
        read(document)


@given(JSON, st.sampled_from(["properties", "resourceAdditionalData", "additionalData", "status", "CvesDetails"]))
def test_wrong_types_in_a_row(value: object, key: str) -> None:
    """Whatever replaces a nested document, the row has findings or raises an error."""
    document = row()
    if key == "properties":
        document["properties"] = value
    elif key == "CvesDetails":
        document["properties"]["additionalData"][key] = value
    else:
        document["properties"][key] = value
    with suppress(UnreadableAnswer):
        assert read(document).findings


@settings(max_examples=300)
@given(mutated(unfolded()))
def test_nothing_gets_lost(document: dict[str, Any]) -> None:
    """Whatever is wrong with an unhealthy row, it has all its findings or raises an error."""
    with suppress(UnreadableAnswer):
        found = read(document)
        assert len(found.findings) >= max(1, len(listed(document, "properties", "additionalData", "CvesDetails")))
        assert not found.not_applicable


@given(st.integers(0, 2000), st.booleans())
def test_cut_text(at: int, spoilt: bool) -> None:
    """JSON text that is truncated, or contains a NUL byte, raises an error."""
    text = json.dumps(unfolded()["properties"])
    cut = text[: at % len(text)] + ("\0" + text[at % len(text) :] if spoilt else "")
    with pytest.raises(UnreadableAnswer):
        read({"id": "1", "properties": cut})

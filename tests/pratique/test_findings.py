"""What Defender says is read with suspicion: nothing unreadable becomes "no findings"."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import UnreadableAnswer
from pratique.findings import Finding, Severity, from_recommendation, from_statement

DIGEST = "sha256:" + "0f" * 32
RATED = [Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)

CVES = [
    {"CveId": "CVE-2026-0001", "Severity": "High", "FixedVersion": "3.0.16"},
    {"CveId": "CVE-2026-0002", "Severity": None},
]
ABOUT = {
    "Digest": DIGEST.upper().replace("SHA256", "sha256"),
    "RegistryHost": "ACRaks.azurecr.io",
    "RepositoryDetails": {"RepositoryName": "quarantine/library/busybox"},
}


def row(**additional: Any) -> dict[str, Any]:
    """A row as tenants show it."""
    data = {
        "SoftwareName": "openssl",
        "FixedVersion": "3.0.15",
        "DetectedSoftwareVersions": ["3.0.1"],
        "CvesDetails": json.dumps(CVES),
    }
    return {
        "id": "/subscriptions/s/providers/Microsoft.Security/assessments/1",
        "properties": {
            "metadata": {"severity": "High", "displayName": "Update openssl"},
            "resourceAdditionalData": json.dumps(ABOUT),
            "additionalData": {**data, **additional},
            "status": {"code": "Unhealthy"},
        },
    }


def camel(value: Any) -> Any:
    """The same document in the other casing."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: camel(inner) for key, inner in value.items()}
    return [camel(inner) for inner in value] if isinstance(value, list) else value


def statement(**changes: Any) -> dict[str, Any]:
    """A statement of a scan that found one thing."""
    result = {
        "id": "CVE-2026-0001",
        "severity": [{"method": "MDVM", "score": "High"}],
        "annotations": [{"packageName": "openssl", "installedVersion": "3.0.1", "fixedVersion": "3.0.16"}],
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "acr/library/busybox", "digest": {"sha256": DIGEST.removeprefix("sha256:")}}],
        "predicateType": "https://in-toto.io/attestation/vulns/v0.2",
        "predicate": {
            "scanner": {"uri": "https://mdvm.example", "version": "1.0", "result": [result]},
            "metadata": {"scanStartedOn": "2026-11-23T10:00:00Z", "scanFinishedOn": "2026-11-23T10:15:00Z"},
        },
        **changes,
    }


def scanned(document: dict[str, Any]) -> tuple[Finding, ...]:
    return from_statement(json.dumps(document).encode(), digest=DIGEST).findings


def with_result(**changes: Any) -> dict[str, Any]:
    document = statement()
    document["predicate"]["scanner"]["result"][0].update(changes)
    return document


@given(st.lists(st.sampled_from(Severity), min_size=1))
def test_unknown_is_worst(severities: list[Severity]) -> None:
    """One finding of unknown severity outweighs any number of rated ones."""
    assert max([*severities, Severity.UNKNOWN]) is Severity.UNKNOWN
    assert all(rated < Severity.UNKNOWN for rated in RATED)
    assert sorted(RATED) == RATED


@given(st.text() | JSON)
def test_any_severity_parses(text: object) -> None:
    """A severity is one of the four names in any letter case, or unknown."""
    named = isinstance(text, str) and text.strip().upper() in {severity.name for severity in RATED}
    assert (Severity.parse(text) is Severity.UNKNOWN) != named


@given(st.sampled_from(RATED), st.sampled_from([str.upper, str.lower, str.title, "  {}\n".format]))
def test_severity_round_trip(severity: Severity, spelling: Callable[[str], str]) -> None:
    """A label is read back whatever its letter case."""
    assert Severity.parse(spelling(severity.label)) is severity


def test_recommendation() -> None:
    """Each nested CVE is a finding of the image that the row is about; a CVE without severity is unknown."""
    recommendation = from_recommendation(row())
    assert recommendation[:3] == (DIGEST, "acraks.azurecr.io", "quarantine/library/busybox")
    assert recommendation.findings == [
        Finding("CVE-2026-0001", Severity.HIGH, "openssl", "3.0.1", "3.0.16"),
        Finding("CVE-2026-0002", Severity.UNKNOWN, "openssl", "3.0.1", "3.0.15"),
    ]


def test_forms_of_a_row() -> None:
    """Both casings, and nested documents as text or as such, mean the same."""
    usual = from_recommendation(row())
    nested = row(CvesDetails=CVES)
    nested["properties"]["resourceAdditionalData"] = ABOUT
    other = camel(copy.deepcopy(nested))
    text = {**nested, "properties": json.dumps(nested["properties"])}
    for document in (nested, other, text):
        assert from_recommendation(document) == usual


@pytest.mark.parametrize(
    ("versions", "text"), [("1.36.1-r2", "1.36.1-r2"), (["1", "2"], "1, 2"), ('["1"]', "1"), (None, "")]
)
def test_versions(versions: object, text: str) -> None:
    """Detected versions come as a list, as JSON text of one, or as one version."""
    assert from_recommendation(row(DetectedSoftwareVersions=versions)).findings[0].version == text


@pytest.mark.parametrize("cves", [None, [], "[]", "null"])
def test_unhealthy_without_cves(cves: object) -> None:
    """An unhealthy row that lists no CVE is a finding by itself, or an error, never nothing."""
    try:
        findings = from_recommendation(row(CvesDetails=cves)).findings
    except UnreadableAnswer:
        return
    assert [(finding.vulnerability, finding.severity) for finding in findings] == [("Update openssl", Severity.HIGH)]


def test_healthy_row() -> None:
    """A row that says Healthy and lists nothing has no findings; one that lists CVEs all the same has them."""
    healthy = row(CvesDetails=[])
    healthy["properties"]["status"]["code"] = "Healthy"
    assert from_recommendation(healthy).findings == []
    exempted = row()
    exempted["properties"]["status"]["code"] = "NotApplicable"
    assert len(from_recommendation(exempted).findings) == 2


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
        ("additionalData", None),
        ("additionalData", []),
        ("additionalData", {"CvesDetails": json.dumps(CVES)[:-3]}),
        ("additionalData", {"CvesDetails": {"CveId": "CVE-2026-0001"}}),
        ("additionalData", {"CvesDetails": ["CVE-2026-0001"]}),
        ("additionalData", {"CvesDetails": [{"Severity": "Low"}]}),
        ("additionalData", {"CvesDetails": [{"CveId": "CVE\0", "Severity": "Low"}]}),
        ("additionalData", {"CvesDetails": "[" * 100_000}),
    ],
    ids=lambda value: str(value)[:60].replace("\0", "NUL"),
)
def test_malformed_row(key: str, value: object) -> None:
    """A row that cannot be read in full is an error."""
    document = row()
    document["properties"][key] = value
    with pytest.raises(UnreadableAnswer):
        from_recommendation(document)


@given(JSON, st.sampled_from(["properties", "resourceAdditionalData", "additionalData", "status", "CvesDetails"]))
def test_wrong_types_in_a_row(value: object, key: str) -> None:
    """Whatever stands where a document should, the row has findings or is an error."""
    document = row()
    if key == "properties":
        document["properties"] = value
    elif key == "CvesDetails":
        document["properties"]["additionalData"][key] = value
    else:
        document["properties"][key] = value
    with suppress(UnreadableAnswer):
        assert from_recommendation(document).findings


def test_statement() -> None:
    """A statement names its findings, its scanner and when the scan ended."""
    assessment = from_statement(json.dumps(statement()).encode(), digest=DIGEST)
    assert assessment.findings == (Finding("CVE-2026-0001", Severity.HIGH, "openssl", "3.0.1", "3.0.16"),)
    assert assessment.scanned_at == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
    assert assessment.scanner == "https://mdvm.example 1.0"


def test_both_voices_agree() -> None:
    """The same finding from both sources is one finding."""
    assert {*from_recommendation(row()).findings[:1], *scanned(statement())} == set(scanned(statement()))


def test_clean_statement() -> None:
    """An empty list of results is the one way to say that nothing was found."""
    document = statement()
    document["predicate"]["scanner"]["result"] = []
    assert scanned(document) == ()


@pytest.mark.parametrize("result", ["missing", None, {}, "", 0, False, [None], ["CVE-2026-0001"], [{}], [[]]])
def test_result_that_is_no_list(result: object) -> None:
    """A statement without a readable list of results does not say that nothing was found."""
    document = statement()
    document["predicate"]["scanner"]["result"] = result
    if result == "missing":
        del document["predicate"]["scanner"]["result"]
    with pytest.raises(UnreadableAnswer):
        scanned(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "https://in-toto.io/attestation/vulns/v0.1"},
        {"predicateType": None},
        {"subject": []},
        {"subject": [{"digest": {"sha256": "ff" * 32}}]},
        {"subject": [{"digest": {"sha512": DIGEST.removeprefix("sha256:")}}]},
        {"subject": DIGEST},
        {"predicate": None},
        {"predicate": {"scanner": {"uri": "x", "result": []}}},
        {"predicate": {"scanner": {"uri": "x", "result": []}, "metadata": {"scanFinishedOn": "soon"}}},
    ],
    ids=str,
)
def test_statement_about_something_else(changes: dict[str, Any]) -> None:
    """A statement of another type, about another image, or without a date is an error."""
    with pytest.raises(UnreadableAnswer):
        scanned(statement(**changes))


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ([{"method": "MDVM", "score": "critical"}], Severity.CRITICAL),
        ([{"method": "CVSS_V3", "score": "9.8"}], Severity.CRITICAL),
        ([{"method": "cvss_score", "score": 7.0}], Severity.HIGH),
        ([{"method": "cvss_score", "score": "5.2"}, {"method": "nvd", "score": "Low"}], Severity.MEDIUM),
        ([{"method": "CVSS_V3", "score": "CVSS:3.1/AV:N"}, {"method": "nvd", "score": "Low"}], Severity.LOW),
        ([{"method": "CVSS_V3", "score": "CVSS:3.1/AV:N"}], Severity.UNKNOWN),
        ([{"method": "cvss_score", "score": "nan"}], Severity.UNKNOWN),
        ([{"method": "cvss_score", "score": "-1"}], Severity.UNKNOWN),
        ([{"method": "cvss_score", "score": True}], Severity.UNKNOWN),
        ([{"method": "epss", "score": "0.97"}], Severity.UNKNOWN),
        ([{"method": "nvd", "score": "Low"}, {"method": "vendor", "score": "ask us"}], Severity.UNKNOWN),
        ([{}], Severity.UNKNOWN),
        ([], Severity.UNKNOWN),
        (None, Severity.UNKNOWN),
    ],
    ids=str,
)
def test_severities_of_a_statement(severity: object, expected: Severity) -> None:
    """The worst rating counts, and one that nobody understands is the worst."""
    assert [finding.severity for finding in scanned(with_result(severity=severity))] == [expected]


@given(st.integers(0, len(json.dumps(statement())) - 1))
def test_truncated_statement(length: int) -> None:
    """Half a statement is an error, wherever it was cut."""
    with pytest.raises(UnreadableAnswer):
        from_statement(json.dumps(statement()).encode()[:length], digest=DIGEST)


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage_statement(document: bytes) -> None:
    """Bytes that are no statement are an error, NUL bytes and all."""
    with pytest.raises(UnreadableAnswer):
        from_statement(document, digest=DIGEST)


@given(JSON, st.sampled_from(["id", "severity", "annotations"]))
def test_wrong_types_in_a_result(value: object, key: str) -> None:
    """A result stays a finding, or becomes an error, whatever is in it."""
    with suppress(UnreadableAnswer):
        assert len(scanned(with_result(**{key: value}))) == 1

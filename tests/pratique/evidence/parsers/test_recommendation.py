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
from pratique.evidence.parsers.assessment import Row, VulnerabilityDetails
from pratique.evidence.parsers.place import Place
from pratique.evidence.parsers.recommendation import from_recommendation
from pratique.findings import Finding, Fix, Severity
from tests.pratique.evidence.parsers.mutations import DEEP, DIGEST, JSON, listed, mutated

BUSYBOX = "quarantine/library/busybox"
ROW_ID = "/subscriptions/s/providers/Microsoft.Security/assessments/1"
PLACE = Place(
    digests=frozenset({DIGEST}),
    registries=frozenset({"acraks.azurecr.io"}),
    repositories=frozenset({BUSYBOX}),
)
CVES = [
    {"CveId": "CVE-2026-0001", "Severity": "High", "FixStatus": "FixAvailable", "FixedVersion": "3.0.16"},
    {"CveId": "CVE-2026-0002", "Severity": None},
]
ABOUT = {
    "Digest": DIGEST.upper().replace("SHA256", "sha256"),
    "RegistryHost": "ACRaks.azurecr.io",
    "RepositoryDetails": {
        "RepositoryName": BUSYBOX,
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
        "id": ROW_ID,
        "properties": {
            "metadata": {
                "recommendationCategory": "SoftwareUpdate",
                "severity": "High",
                "displayName": "Update openssl",
            },
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
    """Each nested CVE is a finding of the image that the row is about; one without a rating takes the row's."""
    assert read(row()) == Row(
        id=ROW_ID,
        place=PLACE,
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
                severity=Severity.HIGH,
                package="openssl",
                version="3.0.1",
                fixed_version="3.0.15",
                fix=Fix.AVAILABLE,
                sources=("graph",),
            ),
        ),
        pushed=datetime(2026, 11, 20, 8, tzinfo=UTC),
        at=datetime(2026, 11, 21, 10, 0, 0, 123456, UTC),
        unrated=frozenset({"CVE-2026-0002"}),
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
    """An unhealthy row that lists no CVE is a finding with the row's id, or raises an error; it is never clean."""
    try:
        findings = read(row(CvesDetails=cves)).findings
    except UnreadableAnswer:
        return
    assert [(finding.vulnerability, finding.severity) for finding in findings] == [(ROW_ID, Severity.HIGH)]


def test_healthy_row() -> None:
    """A row that says Healthy and lists nothing is an assessment without findings."""
    for code in ("Healthy", "healthy", "HEALTHY"):
        healthy = read(row({"code": code}, CvesDetails=[]))
        assert (healthy.findings, healthy.not_applicable, healthy.kind) == ((), "", "")


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({"cause": "Exempt", "description": "Disabled"}, "Exempt"),
        ({"cause": "", "description": "Disabled"}, "Disabled"),
        ({"cause": None}, "no cause given"),
        ({"code": "notapplicable", "cause": 7}, "no cause given"),
        ({"code": "NOT_APPLICABLE", "cause": "Exempt"}, "Exempt"),
        ({"code": "Exempt", "cause": "Waiver"}, "Waiver"),
    ],
    ids=str,
)
def test_not_applicable(status: dict[str, Any], cause: str) -> None:
    """A row that says NotApplicable gives the cause, and is never taken for a healthy one."""
    found = read(row({"code": "NotApplicable"} | status, CvesDetails=[]))
    assert (found.findings, found.not_applicable) == ((), cause)


@pytest.mark.parametrize("code", ["Healthy", "HEALTHY", "NotApplicable", "Unhealthy", "Brand new"])
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
    "scanners",
    [
        {"mdvm": {"FixStatus": "NoFix", "FixedVersion": "3.0.16", "DetectedSoftwareVersions": ["3.0.1"]}},
        {"agentlessmdvm": {"fixedVersion": "3.0.16", "detectedSoftwareVersions": "3.0.1"}, "mdvm": None},
        [{"Key": "mdvm", "Value": {"FixedVersion": "3.0.16", "DetectedSoftwareVersions": '["3.0.1"]'}}],
    ],
    ids=str,
)
def test_scanners_details(scanners: object) -> None:
    """Versions and fixes are read from each scanner's details, in any form; a fix that one of them names is a fix."""
    for value in (scanners, json.dumps(scanners)):
        document = row(
            CvesDetails=[{"CveId": "CVE-2026-0001", "FixStatus": "NoFix"}],
            FixStatus=None,
            FixedVersion="",
            DetectedSoftwareVersions=None,
            ScannersDetails=value,
        )
        (found,) = read(document).findings
        assert (found.fix, found.fixed_version, found.version) == (Fix.AVAILABLE, "3.0.16", "3.0.1")


def test_no_fix_by_every_scanner() -> None:
    """There is no fix when every place says so; a scanner with an unknown word for it does not say so."""
    for status, fix in (("NoFix", Fix.NONE), ("Unknown", Fix.UNKNOWN)):
        scanners = {"mdvm": {"FixStatus": status, "FixedVersion": None}}
        found = read(row(CvesDetails=[CVES[1]], FixStatus="NoFix", FixedVersion="", ScannersDetails=scanners))
        assert [finding.fix for finding in found.findings] == [fix]


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
        ("resourceAdditionalData", json.dumps(ABOUT)[:-7]),
        ("resourceAdditionalData", "\0" + json.dumps(ABOUT)),
        ("resourceAdditionalData", {**ABOUT, "Digest": "sha256:\0"}),
        ("resourceAdditionalData", {**ABOUT, "Digest": 7}),
        ("resourceAdditionalData", {**ABOUT, "RepositoryDetails": 7}),
        ("resourceAdditionalData", {**ABOUT, "registryHost": "another.azurecr.io"}),
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
        ("additionalData", {"CvesDetails": CVES, "ScannersDetails": '{"mdvm": {"FixedVersion"'}),
        ("additionalData", {"CvesDetails": CVES, "ScannersDetails": DEEP}),
        ("additionalData", {"CvesDetails": [{"CveId": "CVE-2026-0001", "Cvss": '[{"Key": "3.0", "Val'}]}),
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


def rated(cve: dict[str, Any], row_severity: object = None, details: Severity | None = None) -> Severity:
    """The severity of a CVE in a row with the given ratings."""
    document = row(CvesDetails=[{"CveId": "CVE-2026-0001", **cve}])
    document["properties"]["metadata"]["severity"] = row_severity
    known = {"CVE-2026-0001": VulnerabilityDetails(details, rejected=False)} if details else {}
    (found,) = from_recommendation(document, source="graph", details=known).findings
    return found.severity


@pytest.mark.parametrize(
    ("cve", "row_severity", "severity"),
    [
        ({"Severity": "high"}, None, Severity.HIGH),
        ({"Severity": " CRITICAL "}, "Low", Severity.CRITICAL),
        ({"Severity": None, "Cvss": [{"Key": "3.0", "Value": {"Base": 7.1}}]}, None, Severity.HIGH),
        ({"Severity": "Unknown", "Cvss": [{"Key": "4.0", "Value": {"Base": "9.8"}}]}, None, Severity.CRITICAL),
        ({"cvss": {"2.0": None, "3.1": {"base": 5.5, "cvssVectorString": ""}}}, None, Severity.MEDIUM),
        ({"Cvss": {"4.0": 3.1}}, None, Severity.LOW),
        ({"Cvss": '[{"Key": "3", "Value": {"Base": 7.1}}]'}, None, Severity.HIGH),
        (
            {"Cvss": [{"Key": "2.0", "Value": {"Base": 5}}, {"Key": "3.0", "Value": {"Base": 9}}]},
            None,
            Severity.CRITICAL,
        ),
        ({"Severity": "Low", "Cvss": [{"Key": "3.0", "Value": {"Base": 9.8}}]}, None, Severity.CRITICAL),
        ({"Severity": "High", "Cvss": [{"Key": "3.0", "Value": {"Base": 2.0}}]}, None, Severity.HIGH),
        (
            {"Cvss": [{"Key": "3.0", "Value": {"Base": 0, "CvssVectorString": "CVSS:3.0/AV:N"}}]},
            "Medium",
            Severity.MEDIUM,
        ),
        ({"Severity": "Unknown", "Cvss": None}, "Medium", Severity.MEDIUM),
        ({}, "Unknown", Severity.UNKNOWN),
        ({}, None, Severity.UNKNOWN),
        ({"Severity": "Low"}, "High", Severity.HIGH),
        ({"Severity": "Brand new"}, "Low", Severity.UNKNOWN),
        ({"Severity": 7}, "Low", Severity.UNKNOWN),
        ({"Severity": "Low", "Cvss": [{"Key": "3.0", "Value": {"Base": "many"}}]}, "Low", Severity.UNKNOWN),
        ({"Cvss": [{"Key": "3.0", "Value": {"Base": 11}}]}, "Low", Severity.UNKNOWN),
        ({"Cvss": [{"Key": "3.0", "Value": {"Base": True}}]}, "Low", Severity.UNKNOWN),
    ],
    ids=str,
)
def test_severities(cve: dict[str, Any], row_severity: object, severity: Severity) -> None:
    """A CVE's own severity or CVSS score, whichever is worse; else the row's; else unknown, the worst of all."""
    assert rated(cve, row_severity) is severity


def test_severities_from_details() -> None:
    """Details of the tenant rate a CVE that its row leaves unrated, before the row's own severity does."""
    assert rated({}, "Low", Severity.HIGH) is Severity.HIGH
    assert rated({"Severity": "Medium"}, "Low", Severity.HIGH) is Severity.MEDIUM


@pytest.mark.parametrize(
    ("about", "places"),
    [
        ({"RegistryHost": "ACRaks.azurecr.io:443"}, ["acraks.azurecr.io"]),
        ({"RegistryHost": "https://acraks.azurecr.io./"}, ["acraks.azurecr.io"]),
        ({"RegistryHost": None, "RepositoryDetails": {"RegistryHost": "acraks.azurecr.io"}}, ["acraks.azurecr.io"]),
        ({"RegistryHost": None, "ImageUri": f"acraks.azurecr.io/{BUSYBOX}@{DIGEST}"}, ["acraks.azurecr.io"]),
        ({"RegistryHost": None, "ImageUri": f"acraks.azurecr.io/{BUSYBOX}:1.37"}, ["acraks.azurecr.io"]),
        (
            {"RegistryHost": "other.azurecr.io", "ImageUri": f"acraks.azurecr.io/{BUSYBOX}"},
            ["acraks.azurecr.io", "other.azurecr.io"],
        ),
        ({"RegistryHost": None}, []),
        ({"RegistryHost": 7}, ["?"]),
    ],
    ids=str,
)
def test_registries(about: dict[str, Any], places: list[str]) -> None:
    """The registry is read from each place where documents or tenants have it."""
    assert sorted(read(row(about=about)).place.registries) == places


@pytest.mark.parametrize(
    ("registries", "here", "perhaps"),
    [
        (["acraks.azurecr.io"], True, True),
        (["acraks"], True, True),
        (["acraks", "acraks.azurecr.io"], True, True),
        (["other.azurecr.io"], False, False),
        (["acraks.azurecr.io", "other.azurecr.io"], False, True),
        (["?"], False, True),
        ([], False, True),
    ],
    ids=str,
)
def test_where_a_row_stands(registries: list[str], here: bool, perhaps: bool) -> None:
    """A row is about an image here when all that it says agrees; it may be when nothing that it says excludes it."""
    place = Place(registries=frozenset(registries), repositories=frozenset({"live/app"}))
    for host in ("ACRaks.azurecr.io", "acraks.azurecr.io."):
        assert place.is_at(host, "live/App") is here
        assert place.may_be_at(host, "live/app") is perhaps
        assert not place.may_be_at(host, "live/other")


def test_place_from_ids() -> None:
    """Ids name the registry and the repository too, and a digest where the row has none of its own."""
    document = row(about={"Digest": None, "RegistryHost": None, "RepositoryDetails": None})
    registry = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/ACRaks"
    document["id"] = f"{registry}/providers/Microsoft.Security/assessments/1"
    document["properties"]["resourceDetails"] = {
        "Id": f"{registry}/repositories-quarantine-library-busybox-images-{DIGEST}"
    }
    place = read(document).place
    assert place.digests == {DIGEST}
    assert place.registries == {"acraks"}
    assert place.may_be_at("acraks.azurecr.io", BUSYBOX)
    assert not place.may_be_at("acraks.azurecr.io", "quarantine/library/other")
    assert not place.is_at("acraks.azurecr.io", BUSYBOX)  # the dashes do not tell


@pytest.mark.parametrize(("category", "kind"), [("software update", ""), ("Secrets", "Secrets"), (None, "no category")])
def test_categories(category: str | None, kind: str) -> None:
    """A recommendation of another category is known as such; CVEs in it are findings all the same."""
    document = row()
    document["properties"]["metadata"]["recommendationCategory"] = category
    assert (read(document).kind, len(read(document).findings)) == (kind, 2)
    bare = row(CvesDetails=None)
    bare["properties"]["metadata"]["recommendationCategory"] = category
    assert len(read(bare).findings) == (category != "Secrets")

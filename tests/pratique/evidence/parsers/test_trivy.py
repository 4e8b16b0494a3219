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
from pratique.evidence.parsers.assessment import Assessment, Distribution, Unassessed
from pratique.evidence.parsers.trivy import database_of, from_trivy, knows_distribution
from pratique.findings import Finding, Fix, Severity, end_of_life
from tests.pratique.evidence.parsers.mutations import DIGEST, JSON, encoded, listed, member, reduced

SYSTEM = {"Family": "alpine", "Name": "3.20.2"}
UPDATED = datetime(2026, 11, 23, 6, tzinfo=UTC)
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


def package(name: str = "libssl3", **changes: Any) -> dict[str, Any]:
    return {
        "ID": f"{name}@3.0.1-r0",
        "Name": name,
        "Identifier": {"PURL": f"pkg:apk/alpine/{name}@3.0.1-r0?arch=x86_64&distro=3.20.2"},
        "Version": "3.0.1-r0",
        **changes,
    }


def result(**changes: Any) -> dict[str, Any]:
    return {
        "Target": f"{NAME} (alpine 3.20.2)",
        "Class": "os-pkgs",
        "Type": "alpine",
        "Packages": [package()],
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


THIRD_PARTY = package("docker-ce", Repository={"Class": "third-party"})


def read(document: dict[str, Any]) -> Assessment | Unassessed:
    return from_trivy(json.dumps(document).encode(), digest=DIGEST, source="trivy", database_at=UPDATED)


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
        findings, datetime(2026, 11, 23, 10, 15, 0, 838423, UTC), scanner="Trivy 0.71.0", database_at=UPDATED
    )


@pytest.mark.parametrize("vulnerabilities", [{}, {"Vulnerabilities": None}, {"Vulnerabilities": []}], ids=str)
def test_clean_report(vulnerabilities: dict[str, Any]) -> None:
    """A result with packages of the system and without vulnerabilities leaves one question: what the database knows."""
    clean = {"Target": "x (alpine 3.20.2)", "Class": "os-pkgs", "Type": "alpine", "Packages": [package()]}
    found = read(report(Results=[clean | vulnerabilities]))
    assert isinstance(found, Assessment)
    assert found.findings == ()
    assert found.unconfirmed == Distribution(
        "alpine 3.20.2",
        {"type": "operating-system", "name": "alpine", "version": "3.20.2"},
        "pkg:apk/alpine/libssl3@3.0.1-r0?arch=x86_64&distro=3.20.2",
    )


@pytest.mark.parametrize(
    ("system", "results", "findings"),
    [
        (None, None, 0),
        (None, [], 0),
        ({}, [], 0),
        ({}, [result()], 1),
        ({"Family": "alpine", "Name": "3.20.2"}, [], 0),
        ({"Family": "none"}, [result()], 1),
        ({"Family": "slackware", "Name": "15"}, [result(Class="lang-pkgs")], 1),
        (None, [result(Class="lang-pkgs")], 1),
        (None, [result(Class="secret", Vulnerabilities=None)], 0),
        ({"Family": "debian", "Name": "12"}, [result(Packages=None)], 1),
        ({"Family": "debian", "Name": "12"}, [result(Packages=[])], 1),
        ({"Family": "debian", "Name": "12"}, [result(Packages=[{}])], 1),
        ({"Family": "redhat", "Name": "9.4"}, [result(Packages=[package("gpg-pubkey")])], 1),
        ({"Family": "debian", "Name": "12"}, [result(Packages=[]), result(Class="lang-pkgs")], 2),
        ({"Family": "debian", "Name": "12"}, [result(Packages=[package(), THIRD_PARTY])], 1),
        ({"Family": "debian", "Name": "12"}, [result(Packages=[THIRD_PARTY])], 1),
    ],
    ids=str,
)
def test_unassessed(system: object, results: object, findings: int) -> None:
    """Without packages of a known system, or with some that Trivy does not assess, an image is unassessed.

    What was found all the same still counts.
    """
    found = read(report(Metadata={"OS": system, "RepoDigests": [NAME]}, Results=results))
    assert isinstance(found, Unassessed)
    assert len(found.findings) == findings


def test_third_party_packages() -> None:
    """The reason names packages that Trivy does not assess, but not all of many."""
    foreign = [package(f"docker-{number}", Repository={"Class": "third-party"}) for number in range(5)]
    found = read(report(Results=[result(Packages=[package(), *foreign])]))
    assert isinstance(found, Unassessed)
    assert found.reason.endswith("third-party repositories: docker-0, docker-1, docker-2 and 2 more")


def test_the_database_knows_the_system() -> None:
    """A vulnerability of a package of the system shows that; one of a language, or one that is ignored, does too."""
    known, ignored = result(), {"Type": "vulnerability", "Status": "ignored", "Finding": vulnerability()}
    language = result(Class="lang-pkgs", Packages=[])
    for results, confirmed in (
        ([known], True),
        ([result(Vulnerabilities=[]), language], False),
        ([result(Vulnerabilities=None, ExperimentalModifiedFindings=[ignored])], True),
    ):
        found = read(report(Results=results))
        assert isinstance(found, Assessment)
        assert (found.unconfirmed is None) is confirmed


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({"Version": "0.74.0", "VulnerabilityDB": {"UpdatedAt": "2026-11-20T06:00:00Z"}}, datetime(2026, 11, 20, 6)),
        ({"Version": "0.74.0", "VulnerabilityDB": {}}, None),
        ({"Version": "0.74.0", "VulnerabilityDB": {"UpdatedAt": "0001-01-01T00:00:00Z"}}, None),
        ({"Version": "0.74.0"}, None),
    ],
    ids=str,
)
def test_the_database_of_a_server(server: dict[str, Any], expected: datetime | None) -> None:
    """A server's database counts, whatever is in the cache of the client."""
    found = read(report(Trivy={"Version": "0.74.0", "Server": server}))
    assert isinstance(found, Assessment)
    assert found.database_at == (expected.replace(tzinfo=UTC) if expected else None)


def test_the_date_of_the_database() -> None:
    """The version names it; a Trivy without a database, or with an empty one, names none."""
    dated = {"Version": "0.74.0", "VulnerabilityDB": {"Version": 2, "UpdatedAt": "2026-11-23T06:00:00.5Z"}}
    assert database_of(json.dumps(dated).encode()) == datetime(2026, 11, 23, 6, 0, 0, 500000, UTC)
    assert database_of(b'{"Version": "0.74.0"}') is None
    assert database_of(b'{"VulnerabilityDB": {"UpdatedAt": "0001-01-01T00:00:00Z"}}') is None
    for broken in (b"", b"Version: 0.74.0", b'{"VulnerabilityDB": []}', b'{"VulnerabilityDB": {"UpdatedAt": "soon"}}'):
        with pytest.raises(UnreadableAnswer):
            database_of(broken)


def test_the_report_on_the_canary() -> None:
    """Only a vulnerability of a package of the system counts."""
    sbom = {"SchemaVersion": 2, "ArtifactName": "canary", "ArtifactType": "cyclonedx"}
    for results, expected in (
        (None, False),
        ([result(Vulnerabilities=None)], False),
        ([result(Class="lang-pkgs")], False),
        ([result()], True),
    ):
        assert knows_distribution(json.dumps(sbom | {"Results": results}).encode()) is expected
    with pytest.raises(UnreadableAnswer):
        knows_distribution(json.dumps(report()).encode())


@pytest.mark.parametrize("said", [True, "true", 1, "unreadable"], ids=str)
def test_end_of_life(said: object) -> None:
    """A system that no longer gets fixes is a finding, whether or not anything else was found or assessed."""
    system = {"Family": "alpine", "Name": "3.10.2", "EOSL": said}
    for results in ([result(Vulnerabilities=[])], []):
        found = read(report(Metadata={"OS": system, "RepoDigests": [NAME]}, Results=results))
        assert found.findings == (end_of_life("alpine", "3.10.2", "trivy"),)


def test_a_supported_system() -> None:
    """Trivy leaves the field out, or says false."""
    system = {"Family": "alpine", "Name": "3.20.2", "EOSL": False}
    found = read(report(Metadata={"OS": system, "RepoDigests": [NAME]}, Results=[result(Vulnerabilities=[])]))
    assert found.findings == ()


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
        {"ArtifactName": f"x@{DIGEST}", "Metadata": {"OS": SYSTEM}},
        {"ArtifactName": "x:1", "Metadata": {"OS": SYSTEM, "RepoDigests": ["y@sha256:" + "ff" * 32, NAME]}},
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
        vulnerabilities = [finding for finding in found.findings if not finding.is_end_of_life]
        assert len(vulnerabilities) == sum(len(listed(result, "Vulnerabilities")) for result in results)


@settings(max_examples=300)
@given(encoded(report(Results=[result(), result(Class="lang-pkgs", Packages=[])])))
def test_proof_needs_evidence(document: bytes) -> None:
    """Whatever is changed in a report: it proves nothing unless it still lists a package of a system that it names."""
    with suppress(UnreadableAnswer):
        found = from_trivy(document, digest=DIGEST, source="trivy")
        if isinstance(found, Assessment):
            content = json.loads(document)
            assert member(content, "Metadata", "OS", "Family")
            of_system = [one for one in listed(content, "Results") if member(one, "Class") == "os-pkgs"]
            packages = [package for one in of_system for package in listed(one, "Packages")]
            assert any(member(package, "Name") for package in packages)
            assert member(content, "CreatedAt")
            assert DIGEST in json.dumps(content)


CLEAN = report(Results=[result(Vulnerabilities=[])])
NOTHING_KNOWN = (
    report(Results=[result(Packages=[])]),
    report(Metadata={"RepoDigests": [NAME]}),
    report(Results=[result(Class="lang-pkgs", Vulnerabilities=[])]),
    report(Metadata={"OS": {"Family": "none"}, "RepoDigests": [NAME]}),
)


@settings(max_examples=300)
@given(st.sampled_from(NOTHING_KNOWN), st.data())
def test_taking_away_proves_nothing(document: dict[str, Any], data: st.DataObject) -> None:
    """A report that proves nothing still proves nothing, whatever is taken out of it."""
    with suppress(UnreadableAnswer):
        assert isinstance(read(data.draw(reduced(document))), Unassessed)


@settings(max_examples=200)
@given(
    st.sampled_from([CLEAN, report(), *NOTHING_KNOWN]),
    st.sampled_from(["vulnerability", "Vulnerability", "brand new"]),
    st.sampled_from(["ignored", "not_affected", "fixed", "unknown"]),
)
def test_a_rule_hides_nothing(document: dict[str, Any], kind: str, status: str) -> None:
    """Whatever Trivy suppresses, and for whatever reason, is a finding beside those that were there."""
    before = read(document)
    suppressed = {"Type": kind, "Status": status, "Source": "vex", "Finding": vulnerability(VulnerabilityID="CVE-NEW")}
    for place in range(len(document["Results"])):
        results = [*document["Results"]]
        results[place] = results[place] | {"ExperimentalModifiedFindings": [suppressed]}
        after = read({**document, "Results": results})
        assert {*after.findings} >= {*before.findings}
        assert "CVE-NEW" in {finding.vulnerability for finding in after.findings}
        assert isinstance(after, Assessment) is isinstance(before, Assessment)


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage(document: bytes) -> None:
    """Bytes that are not a report raise an error."""
    with pytest.raises(UnreadableAnswer):
        from_trivy(document, digest=DIGEST, source="trivy")

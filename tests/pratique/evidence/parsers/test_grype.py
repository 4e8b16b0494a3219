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
from pratique.evidence.parsers.assessment import Assessment, Distribution, Unassessed
from pratique.evidence.parsers.grype import from_grype, knows_distribution
from pratique.findings import Finding, Fix, Severity, end_of_life
from tests.pratique.evidence.parsers.mutations import DIGEST, JSON, encoded, listed, member, reduced

SCANNED = datetime(2026, 11, 23, 10, 15, 0, 123456, UTC)
BUILT = datetime(2026, 11, 23, 4, tzinfo=UTC)
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


def component(name: str = "libssl3", **changes: Any) -> dict[str, Any]:
    """A package in the list of packages."""
    purl = f"pkg:apk/alpine/{name}@3.0.1-r0?arch=x86_64&distro=alpine-3.20.2"
    return {"bom-ref": purl, "type": "library", "name": name, "version": "3.0.1-r0", "purl": purl, **changes}


SYSTEM = {"bom-ref": "os:alpine@3.20.2", "type": "operating-system", "name": "alpine", "version": "3.20.2"}
PYTHON = component("requests", purl="pkg:pypi/requests@2.0.0")


def packages(*components: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The list of packages, as Grype writes it in CycloneDX; a package of the system by default."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"component": {"type": "container", "name": NAME, "version": DIGEST}},
        "components": [*(components or (component(),)), SYSTEM],
        **changes,
    }


def status(**changes: Any) -> dict[str, Any]:
    return {"schemaVersion": "v6.1.9", "built": "2026-11-23T04:00:00Z", "valid": True, **changes}


def configuration(**changes: Any) -> dict[str, Any]:
    return {
        "distro": "",
        "exclude": [],
        "vex-documents": [],
        "only-fixed": False,
        "search": {"scope": "squashed", "unindexed-archives": False, "indexed-archives": True},
        "match": {
            "java": {"using-cpes": False},
            "jvm": {"using-cpes": True},
            "golang": {"using-cpes": False, "always-use-cpe-for-stdlib": True},
            "stock": {"using-cpes": True},
        },
        "alerts": {"enable-eol-distro-warnings": True},
        **changes,
    }


def descriptor(**changes: Any) -> dict[str, Any]:
    return {
        "name": "grype",
        "version": "0.121.2",
        "configuration": configuration(),
        "db": {"status": status(), "providers": {}},
        "timestamp": "2026-11-23T12:15:00.123456789+02:00",
        **changes,
    }


def report(**changes: Any) -> dict[str, Any]:
    """A report as Grype 0.12x writes it."""
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
        "descriptor": descriptor(),
        **changes,
    }


def target(**changes: Any) -> dict[str, Any]:
    return {"type": "image", "target": changes}


def read(*documents: dict[str, Any]) -> Assessment | Unassessed:
    """Read a report, with the default list of packages unless another is given."""
    both = documents if len(documents) > 1 else (*documents, packages())
    return from_grype("\n".join(map(json.dumps, both)).encode(), digest=DIGEST, source="grype")


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
    assert read(report()) == Assessment(findings, SCANNED, "grype 0.121.2", BUILT)


def test_clean_report() -> None:
    """A report without matches, beside packages of the system, leaves one question: what the database knows."""
    unconfirmed = Distribution("alpine 3.20.2", SYSTEM, component()["purl"])
    assert read(report(matches=[])) == Assessment((), SCANNED, "grype 0.121.2", BUILT, unconfirmed)


@pytest.mark.parametrize("distro", [None, {}, {"name": "", "version": ""}, {"name": 7}], ids=str)
def test_no_distribution(distro: object) -> None:
    """Without a distribution the image is unassessed, whatever was found."""
    assert isinstance(read(report(matches=[], distro=distro)), Unassessed)
    found = read(report(distro=distro))
    assert isinstance(found, Unassessed)
    assert len(found.findings) == 2


@pytest.mark.parametrize(
    "sbom",
    [
        packages(PYTHON),
        packages(component("gpg-pubkey")),
        packages(component(purl="")),
        packages(component(type="file")),
        packages(components=[component()]),
        packages(components=None),
        packages(components=[SYSTEM]),
    ],
    ids=["language", "keys", "no purl", "file", "no system", "nothing", "no package"],
)
def test_no_packages(sbom: dict[str, Any]) -> None:
    """Without a package of the system the image is unassessed."""
    found = read(report(matches=[]), sbom)
    assert isinstance(found, Unassessed)
    assert "found no package of alpine 3.20.2" in found.reason


def test_no_list_of_packages() -> None:
    """The report in JSON alone proves nothing; the order of the two does not matter."""
    alone = from_grype(json.dumps(report(matches=[])).encode(), digest=DIGEST, source="grype")
    assert isinstance(alone, Unassessed)
    assert "cyclonedx-json" in alone.reason
    assert isinstance(read(packages(), report(matches=[])), Assessment)


def test_packages_of_another_image() -> None:
    """A list of packages of another image raises an error."""
    other = {"component": {"type": "container", "name": "x@sha256:" + "ff" * 32, "version": "sha256:" + "ff" * 32}}
    with pytest.raises(UnreadableAnswer):
        read(report(), packages(metadata=other))
    with pytest.raises(UnreadableAnswer):
        read(report(), packages(metadata=None))


@pytest.mark.parametrize(
    ("match", "confirmed"),
    [
        (match(), True),
        (match(namespace="alpine:distro:alpine:3"), True),
        (match(namespace="alpine:distro:alpine:edge"), True),
        (match(namespace="alpine:distro:alpine:3.2"), False),
        (match(namespace="alpine:distro:alpine:3.19"), False),
        (match(namespace="alpine:distro:"), False),
        (match(namespace="nvd:cpe"), False),
        (match(namespace="github:language:python") | {"artifact": {"name": "requests", "type": "python"}}, False),
        (match() | {"artifact": {"name": "libssl3", "type": "binary"}}, False),
    ],
    ids=["release", "major", "label", "prefix", "older", "none", "CPE", "language", "binary"],
)
def test_the_database_knows_the_distribution(match: dict[str, Any], confirmed: bool) -> None:
    """Only a distribution's own advisory about a package of the system shows that."""
    found = read(report(matches=[match]))
    assert isinstance(found, Assessment)
    assert (found.unconfirmed is None) is confirmed
    canary = report(matches=[match], source={"type": "sbom-file", "target": "canary"})
    assert knows_distribution(json.dumps(canary).encode()) is confirmed


@pytest.mark.parametrize(
    "db",
    [
        None,
        {},
        {"status": None},
        {"status": status(valid=False)},
        {"status": status(valid=None)},
        {"status": status(valid="true")},
        {"status": status(error="database is too old")},
    ],
    ids=str,
)
def test_invalid_database(db: object) -> None:
    """A database that is not valid proves nothing; what was found with it counts."""
    found = read(report(descriptor=descriptor(db=db)))
    assert isinstance(found, Unassessed)
    assert len(found.findings) == 2


@pytest.mark.parametrize("built", [None, "", "0001-01-01T00:00:00Z"], ids=str)
def test_undated_database(built: object) -> None:
    """A database without a date has no age."""
    found = read(report(descriptor=descriptor(db={"status": status(built=built)})))
    assert isinstance(found, Assessment)
    assert found.database_at is None


@pytest.mark.parametrize(
    "changes",
    [
        {"distro": "debian:12"},
        {"exclude": ["/usr/**"]},
        {"vex-documents": ["vex.json"]},
        {"search": {"scope": "deep-squashed"}},
        {"search": None},
        {"search": {"scope": "squashed", "indexed-archives": False}},
        {"match": {"stock": {"using-cpes": False}}},
        {"match": {"jvm": {"using-cpes": False}, "stock": {"using-cpes": True}}},
        {"match": {"golang": {"using-cpes": False, "always-use-cpe-for-stdlib": False}}},
        {"alerts": {"enable-eol-distro-warnings": False}},
        {"alerts": None},
    ],
    ids=str,
)
def test_incomplete_settings(changes: dict[str, Any]) -> None:
    """A setting that may leave something out proves nothing, and neither does a report without its settings."""
    for settings_ in (configuration(**changes), None):
        found = read(report(descriptor=descriptor(configuration=settings_)))
        assert isinstance(found, Unassessed)
        assert "may leave findings out" in found.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"search": {"scope": "all-layers", "indexed-archives": True, "unindexed-archives": True}},
        {"match": {"stock": {"using-cpes": True}, "jvm": {"using-cpes": True}, "java": {"using-cpes": False}}},
        {"match": {"golang": {"using-cpes": False, "always-use-cpe-for-stdlib": True}, "rpm": {"using-cpes": False}}},
    ],
    ids=str,
)
def test_complete_settings(changes: dict[str, Any]) -> None:
    """Grype's own settings leave nothing out, although it does not match every language by CPE."""
    assert isinstance(read(report(descriptor=descriptor(configuration=configuration(**changes)))), Assessment)


def test_end_of_life() -> None:
    """A distribution past its end of life is a finding of its own."""
    ended = [{"package": {"name": "zlib"}, "alerts": [{"type": "distro-eol", "metadata": {"name": "alpine"}}]}]
    found = read(report(matches=[], alertsByPackage=ended))
    assert isinstance(found, Assessment)
    assert found.findings == (end_of_life("alpine", "3.20.2", "grype"),)


@pytest.mark.parametrize("alert", ["distro-disabled", "distro-unknown", "brand new"])
def test_other_alerts(alert: str) -> None:
    """An image is unassessed when Grype warns of anything else about its packages; findings still count."""
    alerts = [{"package": {"name": "zlib"}, "alerts": [{"type": alert, "message": "no data"}]}]
    found = read(report(alertsByPackage=alerts))
    assert isinstance(found, Unassessed)
    assert len(found.findings) == 2


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


HEADERS = {
    "namespace": "",
    "package": {"name": "linux-libc-dev", "language": "", "type": "deb", "upstream-name": "linux"},
    "match-type": "exact-indirect-match",
}


@pytest.mark.parametrize(
    ("rules", "findings"),
    [
        ([{"namespace": "vex", "vex-status": "not_affected"}], 1),
        ([{"namespace": "", "fix-state": "not-fixed"}], 1),
        ([{"vulnerability": "CVE-2026-0001", "namespace": ""}], 1),
        ([{"namespace": "", "package": {"name": ".*", "language": ""}}], 1),
        ([{"package": {"name": "linux-libc-dev"}, "match-type": "exact-indirect-match"}], 1),
        ([HEADERS | {"vulnerability": "CVE-2026-0001"}], 1),
        ([HEADERS | {"reason": "tolerated"}], 1),
        ([HEADERS, {"namespace": "", "fix-state": "not-fixed"}], 1),
        ([{}], 1),
        ([], 1),
        (None, 1),
        ([HEADERS], 0),
    ],
    ids=str,
)
def test_ignored_matches(rules: object, findings: int) -> None:
    """Matches that any rule ignores are findings, except Grype's own rule about kernel headers."""
    found = read(report(matches=[], ignoredMatches=[match() | {"appliedIgnoreRules": rules}]))
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
        {"descriptor": descriptor(timestamp="")},
        {"descriptor": descriptor(name=None)},
        {"descriptor": None},
    ],
    ids=lambda changes: str(changes)[:60].replace("\0", "NUL"),
)
def test_unreadable_report(changes: dict[str, Any]) -> None:
    """A report about another image, or one that cannot be read in full, raises an error."""
    with pytest.raises(UnreadableAnswer):
        read(report(**changes))


def encoded_pair(document: dict[str, Any], other: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """The bytes of both documents, one of them changed."""
    rest = json.dumps(other).encode()
    return encoded(document).map(lambda content: content + b"\n" + rest)


CHANGED = encoded_pair(report(), packages()) | encoded_pair(packages(), report())


@settings(max_examples=300)
@given(encoded_pair(report(), packages()))
def test_nothing_gets_lost(document: bytes) -> None:
    """Whatever is wrong with a report, every match is a finding, or parsing raises an error."""
    with suppress(UnreadableAnswer):
        found = from_grype(document, digest=DIGEST, source="grype")
        changed = json.loads(document.rpartition(b"\n")[0])
        assert len(found.findings) == len(listed(changed, "matches"))


@settings(max_examples=300)
@given(CHANGED)
def test_proof_needs_evidence(document: bytes) -> None:
    """Whatever is changed in a report: a proof still names a distribution, a package of it, a database and a date."""
    with suppress(UnreadableAnswer):
        found = from_grype(document, digest=DIGEST, source="grype")
        if isinstance(found, Assessment):
            first, second = (json.loads(part) for part in document.split(b"\n"))
            one, sbom = (first, second) if member(second, "bomFormat") else (second, first)
            assert member(one, "distro", "name")
            assert member(one, "descriptor", "db", "status", "valid") is True
            assert member(one, "descriptor", "timestamp")
            assert any("pkg:apk/alpine/libssl3" in str(member(part, "purl")) for part in listed(sbom, "components"))
            assert any(member(part, "type") == "operating-system" for part in listed(sbom, "components"))


NOTHING_KNOWN = (
    (report(matches=[]), packages(PYTHON)),
    (report(matches=[], distro={}), packages()),
    (report(matches=[], descriptor=descriptor(db=None)), packages()),
    (report(matches=[], descriptor=descriptor(configuration=None)), packages()),
)


@settings(max_examples=300)
@given(st.sampled_from(NOTHING_KNOWN), st.booleans(), st.data())
def test_taking_away_proves_nothing(pair: tuple[dict[str, Any], ...], first: bool, data: st.DataObject) -> None:
    """A report that proves nothing still proves nothing, whatever is taken out of it."""
    one, sbom = pair
    with suppress(UnreadableAnswer):
        found = read(data.draw(reduced(one)), sbom) if first else read(one, data.draw(reduced(sbom)))
        assert isinstance(found, Unassessed)


RULES = st.fixed_dictionaries(
    {},
    optional={
        "vulnerability": st.sampled_from(["CVE-2026-0001", ""]),
        "namespace": st.sampled_from(["", "vex"]),
        "fix-state": st.sampled_from(["not-fixed", "fixed"]),
        "vex-status": st.just("not_affected"),
        "reason": st.just("tolerated"),
        "package": st.sampled_from([{"name": "libssl3"}, {"type": "deb"}, {"name": "linux-libc-dev", "language": ""}]),
        "match-type": st.sampled_from(["exact-indirect-match", "exact-direct-match"]),
    },
)


@settings(max_examples=200)
@given(st.lists(RULES, max_size=3), st.sampled_from([report(), report(matches=[])]))
def test_a_rule_hides_nothing(rules: list[dict[str, Any]], document: dict[str, Any]) -> None:
    """Whatever a user's rules ignore is a finding beside those that were there."""
    before = read(document)
    ignored = match(id="CVE-NEW") | {"appliedIgnoreRules": rules}
    after = read({**document, "ignoredMatches": [ignored]})
    assert {*after.findings} >= {*before.findings}
    assert "CVE-NEW" in {finding.vulnerability for finding in after.findings}
    assert isinstance(after, Assessment)


@given(
    st.binary(max_size=200)
    | st.just(b"[" * 100_000)
    | st.just(b"1 " * 100_000)
    | st.just(json.dumps(packages()).encode())
    | st.just((json.dumps(report()) * 2).encode())
    | JSON.map(lambda value: json.dumps(value).encode())
)
def test_garbage(document: bytes) -> None:
    """Bytes that are not a report raise an error."""
    with pytest.raises(UnreadableAnswer):
        from_grype(document, digest=DIGEST, source="grype")

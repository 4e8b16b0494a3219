"""Statements of a complete scan: nothing unreadable becomes "nothing found"."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers import in_toto
from pratique.evidence.parsers.in_toto import BadNews, bad_news, from_statement
from pratique.findings import Finding, Fix, Severity
from tests.pratique.evidence.parsers.mutations import DIGEST, JSON, encoded, listed, mutated


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
            "scanner": {
                "uri": "https://mdvm.example",
                "version": "1.0",
                "db": {"lastUpdate": "2026-11-23T06:00:00Z"},
                "result": [result],
            },
            "metadata": {"scanStartedOn": "2026-11-23T10:00:00Z", "scanFinishedOn": "2026-11-23T10:15:00Z"},
        },
        **changes,
    }


def scanned(document: dict[str, Any]) -> tuple[Finding, ...]:
    return from_statement(json.dumps(document).encode(), digest=DIGEST, source="artifact").findings


def with_result(**changes: Any) -> dict[str, Any]:
    document = statement()
    document["predicate"]["scanner"]["result"][0].update(changes)
    return document


def test_statement() -> None:
    """A statement names its findings, its scanner and when the scan ended."""
    assessment = from_statement(json.dumps(statement()).encode(), digest=DIGEST, source="artifact")
    finding = Finding(
        vulnerability="CVE-2026-0001",
        severity=Severity.HIGH,
        package="openssl",
        version="3.0.1",
        fixed_version="3.0.16",
        fix=Fix.AVAILABLE,
        sources=("artifact",),
    )
    assert assessment.findings == (finding,)
    assert assessment.scanned_at == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
    assert assessment.scanner == "https://mdvm.example 1.0"


@pytest.mark.parametrize(
    ("db", "expected"),
    [
        ({"lastUpdate": "2026-11-23T06:00:00Z"}, datetime(2026, 11, 23, 6, tzinfo=UTC)),
        ({"lastupdate": "2026-11-23T08:00:00+02:00"}, datetime(2026, 11, 23, 6, tzinfo=UTC)),
        ({"lastUpdate": "0001-01-01T00:00:00Z"}, None),
        ({"lastUpdate": ""}, None),
        ({"uri": "x"}, None),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_database(db: object, expected: datetime | None) -> None:
    """A statement that does not date the scanner's database has no date for it."""
    document = statement()
    document["predicate"]["scanner"]["db"] = db
    assert from_statement(json.dumps(document).encode(), digest=DIGEST, source="artifact").database_at == expected


@pytest.mark.parametrize("db", [{"lastUpdate": "yesterday"}, {"lastUpdate": 7}, "today", []], ids=str)
def test_unreadable_database(db: object) -> None:
    """A date that cannot be read raises an error."""
    document = statement()
    document["predicate"]["scanner"]["db"] = db
    with pytest.raises(UnreadableAnswer):
        scanned(document)


def test_arguments() -> None:
    """A scan whose arguments show that it left something out is complete in nobody's eyes; its findings count."""
    document = statement()
    for parameters, gap in (([], ""), (["--format", "json"], ""), (["trivy image --severity HIGH"], "--severity")):
        document["predicate"]["invocation"] = {"parameters": parameters}
        assessment = from_statement(json.dumps(document).encode(), digest=DIGEST, source="artifact")
        assert gap in assessment.gap
        assert bool(assessment.gap) is bool(gap)
        assert len(assessment.findings) == 1


def test_clean_statement() -> None:
    """Only an empty list of results proves that the scan found nothing."""
    document = statement()
    document["predicate"]["scanner"]["result"] = []
    assert scanned(document) == ()


@pytest.mark.parametrize("result", ["missing", None, {}, "", 0, False, [None], ["CVE-2026-0001"], [{}], [[]]])
def test_result_that_is_not_a_list(result: object) -> None:
    """A statement without a readable list of results raises an error."""
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
    """A statement of another type, about another image, or without a date raises an error."""
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
        ([{"method": "cvss_score", "score": 10**4000}], Severity.UNKNOWN),
        ([{"method": "epss", "score": "0.97"}], Severity.UNKNOWN),
        ([{"method": "epss", "score": "0.97"}, {"method": "nvd", "score": "Low"}], Severity.LOW),
        ([{"method": "EPSS", "score": 0.01}, {"method": "cvss_v3", "score": 7.1}], Severity.HIGH),
        ([{"method": "ssvc", "score": "Track"}, {"method": "nvd", "score": "Low"}], Severity.LOW),
        ([{"method": "vendor", "score": "3"}, {"method": "nvd", "score": "Low"}], Severity.LOW),
        (
            [{"method": "cvss_v2", "score": "4.0"}, {"method": "v2", "score": "AV:N/AC:M/Au:N/C:P/I:N/A:N"}],
            Severity.MEDIUM,
        ),
        ([{"method": "cvss", "score": "(AV:N/AC:M/Au:N/C:P/I:N/A:N)"}], Severity.UNKNOWN),
        ([{"method": "redhat", "score": "moderate"}], Severity.MEDIUM),
        ([{"method": "redhat", "score": "Important"}], Severity.HIGH),
        ([{"method": "ubuntu", "score": "negligible"}], Severity.LOW),
        ([{"method": "debian", "score": "unimportant"}], Severity.LOW),
        ([{"method": "ubuntu", "score": "untriaged"}], Severity.UNKNOWN),
        ([{"method": "nvd", "score": "Low"}, {"method": "vendor", "score": "ask us"}], Severity.UNKNOWN),
        ([{}], Severity.UNKNOWN),
        ([], Severity.UNKNOWN),
        (None, Severity.UNKNOWN),
    ],
    ids=str,
)
def test_severities_of_a_statement(severity: object, expected: Severity) -> None:
    """The worst rating counts, and an unknown rating is the worst."""
    assert [finding.severity for finding in scanned(with_result(severity=severity))] == [expected]


@pytest.mark.parametrize(
    ("severity", "words"),
    [
        ([{"method": "vendor", "score": "ask us"}], ", rated 'ask us')"),
        ([{"method": "ubuntu", "score": "untriaged"}, {"method": "nvd", "score": "Low"}], ", rated 'untriaged')"),
        ([{"method": "epss", "score": "0.97"}], ", rated 'epss 0.97')"),
        ([{"method": "vendor", "score": "x" * 999}], f", rated {'x' * 40!r})"),
        ([], "(Unknown)"),
        ([{"method": "nvd", "score": "Low"}], "(Low)"),
    ],
    ids=str,
)
def test_the_word_of_an_unknown_severity(severity: object, words: str) -> None:
    """A finding whose severity is unknown says what its source wrote."""
    (finding,) = scanned(with_result(severity=severity))
    assert words in str(finding)


FLAWS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no date": lambda document: document["predicate"].pop("metadata"),
    "no scanner": lambda document: document["predicate"]["scanner"].pop("uri", None),
    "database": lambda document: document["predicate"]["scanner"].update(db={"lastUpdate": "yesterday"}),
    "statement type": lambda document: document.update(_type="https://in-toto.io/Statement/v0.1"),
    "predicate type": lambda document: document.update(predicateType="https://in-toto.io/attestation/vulns/v0.1"),
    "other subject": lambda document: document["subject"].append({"name": "x"}),
    "subject by name": lambda document: document.update(subject=[{"name": f"acr.example/app@{DIGEST}"}]),
    "annotations": lambda document: document["predicate"]["scanner"]["result"][0].update(annotations=7),
    "severity": lambda document: document["predicate"]["scanner"]["result"][0].update(severity=7),
}


@given(st.sets(st.sampled_from(sorted(FLAWS))))
def test_flaws_lose_no_bad_news(flaws: set[str]) -> None:
    """Of a statement that proves nothing, every result that has an identifier is a finding."""
    document = statement()
    for flaw in flaws:
        FLAWS[flaw](document)
    news = bad_news(json.dumps(document).encode(), digest=DIGEST, source="artifact")
    assert [finding.vulnerability for finding in news.findings] == ["CVE-2026-0001"]
    assert news.findings[0].severity is (Severity.UNKNOWN if "severity" in flaws else Severity.HIGH)
    assert news.unread == ""


@settings(max_examples=300)
@given(mutated(statement()))
def test_bad_news_is_counted_or_missed_aloud(document: dict[str, Any]) -> None:
    """Whatever is wrong with a statement that names the image: all results are findings, or some are called unread."""
    news = bad_news(json.dumps(document).encode(), digest=DIGEST, source="artifact")
    if DIGEST.removeprefix("sha256:") in json.dumps(document.get("subject")) and not news.unread:
        assert len(news.findings) == len(listed(document, "predicate", "scanner", "result"))


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_no_bad_news(document: bytes) -> None:
    """Bytes that do not name the image report nothing about it; those that do, and cannot be read, say so."""
    assert bad_news(document, digest=DIGEST, source="artifact") == BadNews()
    assert bad_news(b"{" + document + DIGEST.encode(), digest=DIGEST, source="artifact").unread


@pytest.mark.parametrize(
    ("invocation", "gap"),
    [
        ({"parameters": {"severity": "LOW"}}, "--severity"),
        ({"parameters": [["image", "--severity", "LOW"]]}, "--severity"),
        ({"parameters": '["image", "-s", "LOW"]'}, "-s"),
        ({"environment": {"TRIVY_SEVERITY": "LOW"}}, "trivy_severity"),
        ({"env": ["GRYPE_ONLY_FIXED=true"]}, "GRYPE_ONLY_FIXED"),
        ({"environment": {"DOCKER_CONFIG": "/c"}, "uri": "https://ci.example/--severity"}, ""),
    ],
    ids=str,
)
def test_arguments_in_other_forms(invocation: dict[str, Any], gap: str) -> None:
    """Arguments and variables are read from objects, nested lists and JSON text as well."""
    document = statement()
    document["predicate"]["invocation"] = invocation
    found = from_statement(json.dumps(document).encode(), digest=DIGEST, source="artifact").gap
    assert gap in found
    assert bool(gap) is bool(found)


@given(st.integers(0, len(json.dumps(statement())) - 1))
def test_truncated_statement(length: int) -> None:
    """A truncated statement raises an error, wherever it was cut."""
    with pytest.raises(UnreadableAnswer):
        from_statement(json.dumps(statement()).encode()[:length], digest=DIGEST, source="artifact")


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage_statement(document: bytes) -> None:
    """Bytes that are not a statement raise an error, also with NUL bytes in them."""
    with pytest.raises(UnreadableAnswer):
        from_statement(document, digest=DIGEST, source="artifact")


@pytest.mark.parametrize(
    ("notes", "fix"),
    [
        ([{"fixedVersion": "3.0.16"}], Fix.AVAILABLE),
        ([{"fixStatus": "NoFix"}, {"fixedVersion": "3.0.16"}], Fix.AVAILABLE),
        ([{"fixStatus": "NoFix"}, {"fixedVersion": ""}], Fix.NONE),
        ([{"fixedVersion": ""}], Fix.UNKNOWN),
        ([], Fix.UNKNOWN),
        (None, Fix.UNKNOWN),
    ],
    ids=str,
)
def test_fixes_of_a_statement(notes: object, fix: Fix) -> None:
    """A named version means that there is a fix; there is none only when the scanner says so explicitly."""
    assert [finding.fix for finding in scanned(with_result(annotations=notes))] == [fix]


@settings(max_examples=300)
@given(encoded(statement()))
def test_nothing_gets_lost(document: bytes) -> None:
    """Whatever is wrong with a statement, every result is a finding, or parsing raises an error."""
    with suppress(UnreadableAnswer):
        found = from_statement(document, digest=DIGEST, source="artifact").findings
        assert len(found) == len(listed(json.loads(document), "predicate", "scanner", "result"))


@settings(max_examples=300)
@given(encoded(statement()), st.permutations(["artifact", "artifact", "other"]))
def test_what_was_parsed_before_changes_nothing(document: bytes, sources: Sequence[str]) -> None:
    """Findings and errors are the same whether or not an equal result was parsed before, for any source."""

    def parsed(source: str) -> object:
        try:
            return from_statement(document, digest=DIGEST, source=source), bad_news(
                document, digest=DIGEST, source=source
            )
        except UnreadableAnswer as error:
            return str(error), bad_news(document, digest=DIGEST, source=source)

    found = [parsed(source) for source in sources]
    with patch.object(in_toto, "_finding", in_toto._parse_finding):
        assert found == [parsed(source) for source in sources]


@given(JSON, st.sampled_from(["id", "severity", "annotations"]))
def test_wrong_types_in_a_result(value: object, key: str) -> None:
    """A result with a value of the wrong type stays a finding or raises an error."""
    with suppress(UnreadableAnswer):
        assert len(scanned(with_result(**{key: value}))) == 1

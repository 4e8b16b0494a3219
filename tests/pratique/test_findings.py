"""Severities are ordered, and several reports of one vulnerability merge into one finding, the worst."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.findings import Finding, Fix, Severity, merged, worst_first
from tests.pratique.evidence.parsers.mutations import JSON

RATED = [Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
FINDINGS = st.lists(
    st.builds(
        Finding,
        vulnerability=st.sampled_from(["CVE-1", "cve-1", "CVE-2"]),
        severity=st.sampled_from(Severity),
        package=st.sampled_from(["", "openssl", "OpenSSL"]),
        version=st.sampled_from(["", "1", "2", "1, 2"]),
        fixed_version=st.sampled_from(["", "3"]),
        fix=st.sampled_from(Fix),
        sources=st.sampled_from([(), ("a",), ("b",)]),
    ),
    max_size=6,
)


@given(st.lists(st.sampled_from(Severity), min_size=1))
def test_unknown_is_worst(severities: list[Severity]) -> None:
    """Unknown severity is worse than every rated severity."""
    assert max([*severities, Severity.UNKNOWN]) is Severity.UNKNOWN
    assert all(rated < Severity.UNKNOWN for rated in RATED)
    assert sorted(RATED) == RATED


@given(st.text() | JSON)
def test_any_severity_parses(text: object) -> None:
    """A severity is one of the four names in any letter case, a distribution's word for one, or unknown."""
    words = {*(severity.name for severity in RATED), "IMPORTANT", "MODERATE", "NEGLIGIBLE", "UNIMPORTANT"}
    named = isinstance(text, str) and text.strip().upper() in words
    assert (Severity.parse(text) is Severity.UNKNOWN) != named


@given(st.sampled_from(RATED), st.sampled_from([str.upper, str.lower, str.title, "  {}\n".format]))
def test_severity_round_trip(severity: Severity, spelling: Callable[[str], str]) -> None:
    """A label parses to its severity in any letter case."""
    assert Severity.parse(spelling(severity.label)) is severity


@pytest.mark.parametrize(
    ("score", "severity"),
    [
        (10, Severity.CRITICAL),
        (9.0, Severity.CRITICAL),
        (8.9, Severity.HIGH),
        (7.0, Severity.HIGH),
        (6.9, Severity.MEDIUM),
        (4.0, Severity.MEDIUM),
        (3.9, Severity.LOW),
        (0, Severity.LOW),
        (10.1, Severity.UNKNOWN),
        (-0.1, Severity.UNKNOWN),
        (float("nan"), Severity.UNKNOWN),
    ],
)
def test_bands(score: float, severity: Severity) -> None:
    """A CVSS base score gets its band from the standard; a number outside the scale is unknown."""
    assert Severity.of_score(score) is severity


def test_finding_as_text() -> None:
    """A finding is one line with its place and whether there is a fix."""
    fixed = Finding(
        vulnerability="CVE-1",
        severity=Severity.HIGH,
        package="openssl",
        version="3.0.1",
        fixed_version="3.0.16",
        fix=Fix.AVAILABLE,
    )
    assert str(fixed) == "CVE-1 (High) in openssl 3.0.1, fixed in 3.0.16"
    assert (
        str(Finding(vulnerability="CVE-1", severity=Severity.UNKNOWN, fix=Fix.NONE))
        == "CVE-1 (Unknown) in an unnamed package, no fix"
    )


def test_merged_takes_the_worst() -> None:
    """Two reports of one vulnerability in one package are one finding with the worst of both, and both sources."""
    mild = Finding(
        vulnerability="CVE-1",
        severity=Severity.LOW,
        package="openssl",
        version="3.0.1",
        fixed_version="3.0.16",
        fix=Fix.AVAILABLE,
        sources=("a",),
    )
    bad = Finding(
        vulnerability="cve-1",
        severity=Severity.CRITICAL,
        package="OpenSSL",
        version="3.0.2",
        fixed_version="",
        fix=Fix.NONE,
        sources=("b",),
    )
    both = Finding(
        vulnerability="cve-1",
        severity=Severity.CRITICAL,
        package="OpenSSL",
        version="3.0.1, 3.0.2",
        fixed_version="3.0.16",
        fix=Fix.AVAILABLE,
        sources=("a", "b"),
    )
    assert merged([mild, bad]) == merged([bad, mild]) == (both,)


@pytest.mark.parametrize(
    ("fixes", "together"),
    [
        ({Fix.NONE}, Fix.NONE),
        ({Fix.NONE, Fix.UNKNOWN}, Fix.UNKNOWN),
        ({Fix.NONE, Fix.AVAILABLE}, Fix.AVAILABLE),
        ({Fix.UNKNOWN, Fix.AVAILABLE}, Fix.AVAILABLE),
    ],
    ids=["none", "none and unknown", "none and available", "unknown and available"],
)
def test_merged_fixes(fixes: set[Fix], together: Fix) -> None:
    """A finding is unfixed only when no source says otherwise."""
    for some in permutations(fixes):
        (one,) = merged(Finding(vulnerability="CVE-1", severity=Severity.HIGH, fix=fix) for fix in some)
        assert one.fix is together


def test_other_packages_are_other_findings() -> None:
    """One vulnerability in two packages is two findings."""
    assert (
        len(
            merged(
                Finding(vulnerability="CVE-1", severity=Severity.HIGH, package=package)
                for package in ("libssl", "libcrypto")
            )
        )
        == 2
    )


@given(FINDINGS)
def test_merged_loses_nothing(findings: list[Finding]) -> None:
    """Every vulnerability is kept once, with its worst severity and all sources, in order of severity."""
    together = merged(findings)
    assert {finding.key for finding in together} == {finding.key for finding in findings}
    assert len({finding.key for finding in together}) == len(together)
    for result in together:
        same = [finding for finding in findings if finding.key == result.key]
        assert result.severity is max(finding.severity for finding in same)
        assert set(result.sources) == {source for finding in same for source in finding.sources}
    assert together == worst_first(together) == merged(together)


@given(FINDINGS, st.randoms(use_true_random=False))
def test_order_never_matters(findings: list[Finding], random: Random) -> None:
    """The result does not depend on the order of the sources."""
    shuffled = list(findings)
    random.shuffle(shuffled)
    decisive = [
        {(result.key, result.severity, result.fix, result.sources) for result in merged(ordering)}
        for ordering in (findings, shuffled)
    ]
    assert decisive[0] == decisive[1]
